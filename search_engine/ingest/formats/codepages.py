"""The codecs of Windows code pages, by the numbers under which documents name them."""

from __future__ import annotations

import codecs

# Those whose codec is not "cp" and the number (Microsoft, "Code Page Identifiers").
_NAMES = {
    1200: "utf-16-le",
    1201: "utf-16-be",
    10000: "mac_roman",
    10006: "mac_greek",
    10007: "mac_cyrillic",
    10029: "mac_latin2",
    10079: "mac_iceland",
    10081: "mac_turkish",
    20127: "ascii",
    20866: "koi8-r",
    21866: "koi8-u",
    50220: "iso2022_jp",
    50221: "iso2022_jp_ext",
    50225: "iso2022_kr",
    51932: "euc_jp",
    51936: "gb2312",
    51949: "euc_kr",
    54936: "gb18030",
    65000: "utf-7",
    65001: "utf-8",
}
_ISO_8859 = range(28591, 28606)


def find_codec(codepage: int | None) -> str | None:
    """The codec of a code page; None where none is named, or Python has it not.

    Args:
        codepage: its number; one above 32767 may come as the negative number that has its 16 bits.
    """
    if codepage is None:
        return None
    number = codepage % 65536
    name = _NAMES.get(number, f"cp{number}")
    if number in _ISO_8859:
        name = f"iso8859-{number - _ISO_8859.start + 1}"
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None
