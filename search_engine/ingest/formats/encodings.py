"""Encodings recognised by the bytes of a file that does not name its own."""

from __future__ import annotations

import codecs
from collections import Counter
from functools import cache

import regex

# The legacy encodings that browsers know (WHATWG Encoding Standard, section 4.2) and DOS's code
# page 850. Of two that fit equally well the first counts. ISO 8859-1 and 8859-9 are not named,
# since windows-1252 and windows-1254 hold them.
_LEGACY_ENCODINGS = (
    "cp1252",
    "cp1255",
    "cp1251",
    "cp932",
    "euc_jp",
    "cp949",
    "gb18030",
    "big5hkscs",
    "cp1250",
    "iso8859_2",
    "cp1254",
    "cp1253",
    "iso8859_7",
    "cp1256",
    "iso8859_6",
    "cp874",
    "cp1257",
    "cp1258",
    "iso8859_16",
    "koi8_u",
    "iso8859_5",
    "cp866",
    "mac_cyrillic",
    "iso8859_15",
    "iso8859_4",
    "iso8859_13",
    "mac_roman",
    "cp850",
)
# A wrong reading of prose fits to 0.7 at most.
_LEAST_FIT = 0.8

# The letters beyond ASCII of languages that share an encoding (CLDR's main exemplar characters).
_ALPHABETS = (
    "àâæçèéêëîïôùûüÿœ",  # French
    "àáâãçéêíóôõúü",  # Portuguese
    "àáçèéìíïñòóùúü",  # Spanish, Italian, Catalan
    "äëïöüßáéíóúèåæøà",  # German, Dutch, Scandinavian languages
    "áðéíóúýþæö",  # Icelandic
    "ąćęłńóśźż",  # Polish
    "áäčďéěíĺľňóôŕřšťúůýž",  # Czech, Slovak
    "áéíóöőúüű",  # Hungarian
    "ăâîșțşţ",  # Romanian
    "ćčđšž",  # Croatian, Slovene
    "âçğîıİöşûü",  # Turkish
    "ąāčęėēģīįķļņõšūųžäöü",  # Estonian, Latvian, Lithuanian
    "àáâãèéêìíòóôõùúýăđơư\u0300\u0301\u0303\u0309\u0323",  # Vietnamese
    "абвгдежзийклмнопрстуфхцчшщъыьэюяё",  # Russian, Bulgarian
    "абвгґдеєжзиіїйклмнопрстуўфхцчшщыьэюяё",  # Ukrainian, Belarusian
    "абвгдђѓежзѕијкќлљмнњопрстћуфхцчџш",  # Serbian, Macedonian
    "αάβγδεέζηήθιίϊΐκλμνξοόπρσςτυύϋΰφχψωώ",  # Greek
    "אבגדהוזחטיךכלםמןנסעףפץצקרשת",  # Hebrew
    "ءآأؤإئابةتثجحخدذرزسشصضطظعغـفقكلمنهوىي\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652،؛؟پچژگ",
    "".join(map(chr, (*range(0x0E01, 0x0E3B), *range(0x0E3F, 0x0E4F)))),  # Thai
)
# Several languages of one text are explained a little less well than one, or the letters of all
# explain every reading.
_WEST = "àáâãäåæçèéêëìíîïñòóôõöøùúûüßœÿ"
_WEST_WEIGHT = 0.97
_CAPITAL = 0.95
_SIGNS = "\xa0¡§ª°²º©®«»¿“”„…•·€£™\u2013\u2014\u2018\u2019\u201a\u2039\u203a\u2116"
_KANA = frozenset(map(chr, (*range(0x3041, 0x3097), *range(0x30A1, 0x30FF))))
_WIDE_SIGNS = frozenset(map(chr, (*range(0x3000, 0x3018), *range(0xFF01, 0xFF5F)))) | {
    *"・ー…—“”\u2018\u2019"
}

# What wrong readings are full of, by what stands where it cannot.
_MISPLACED = regex.compile(
    r"(?<=\p{L})[¡§ª°²º©®«»¿„…•€£™\u201a\u2039\u203a\u2116](?=\p{L})"  # a sign between letters
    r"|(?<=\p{Ll})(?=[^\x00-\x7f])\p{Lu}"  # a capital after a small letter
    r"|(?<=[a-zA-Z])[\p{Cyrillic}\p{Greek}\p{Thai}\p{Arabic}\p{Hebrew}]"  # two scripts in a word
    r"|[\p{Cyrillic}\p{Greek}\p{Thai}\p{Arabic}\p{Hebrew}](?=[a-zA-Z])"
    r"|(?<=[a-zA-Z])[\p{Han}\p{Hangul}\p{Katakana}\p{Hiragana}]+(?=[a-zA-Z])"
    r"|[ةى](?=\p{Arabic})"  # Arabic letters that end a word
    r"|(?<![ก-ฮ])[ัิ-ฺ]|(?<![ก-ฮัิ-ฺ])[็-๎]|[เ-ไ](?![ก-ฮ])"  # a Thai vowel without its consonant
)
# Controls but for white space and escape, private and unassigned characters.
_NO_TEXT = regex.compile(r"[\p{Cc}\p{Co}\p{Cn}--[\t\n\f\r\x1b]]", regex.VERSION1)
_BEYOND_ASCII = regex.compile(r"[^\x00-\x7f]")


def guess_legacy_encoding(sample: bytes) -> str | None:
    """The legacy encoding in which a sample reads like a language; None where it does in none.

    charset-normalizer 3.5 takes three of four Spanish texts for Polish, and Polish in ISO 8859-2
    for Nordic: it compares the most frequent letters, and those are ASCII. Here a
    reading is as good as the share of its characters beyond ASCII that belong to one alphabet, or
    to the common half of the Chinese characters, less those that no word has where they stand.

    Args:
        sample: some kilobytes, the first bytes beyond ASCII among them, cut where a line begins.
    """
    best, best_fit = None, _LEAST_FIT
    for encoding in _LEGACY_ENCODINGS:
        text = sample.decode(encoding, errors="replace")
        fit = _measure_fit(text, best_fit)
        if fit > best_fit:
            best, best_fit = encoding, fit
    return best


def find_unmarked_encoding(sample: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte order mark, by the zero bytes; None for anything else.

    Args:
        sample: the beginning of a file; whole units of four bytes, unless it is all of the file.
    """
    if len(sample) % 4 == 0 and sample[3::4].count(0) == len(sample) // 4:
        candidates = ["utf-32-le"]
    elif len(sample) % 4 == 0 and sample[::4].count(0) == len(sample) // 4:
        candidates = ["utf-32-be"]
    elif len(sample) % 2 == 0:
        # The high byte is zero wherever ASCII stands, the low byte hardly ever.
        zeros = {"utf-16-le": sample[1::2].count(0), "utf-16-be": sample[::2].count(0)}
        candidates = sorted((name for name in zeros if zeros[name]), key=zeros.__getitem__)[::-1]
    else:
        candidates = []
    return next((name for name in candidates if _reads_as_text(sample, name)), None)


def _reads_as_text(sample: bytes, encoding: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return False
    return bool(text) and _NO_TEXT.search(text) is None


def _measure_fit(text: str, least: float) -> float:
    """The share of the characters beyond ASCII that one language explains, up to 1.

    Cyrillic capitals count a little less, since Russian read in another encoding of Russian has
    the case of all letters turned round.

    Args:
        least: what it has to exceed; where it cannot, any lower number may come back.
    """
    counts = Counter(_BEYOND_ASCII.findall(text))
    total = counts.total()
    if total == 0:
        return 0.0
    worth = {
        c: count * (_CAPITAL if "\u0410" <= c <= "\u042f" else 1.0) for c, count in counts.items()
    }
    explained = max(
        weight * sum(value for character, value in worth.items() if character in letters)
        for letters, weight in _letter_sets(japanese=not _KANA.isdisjoint(counts))
    )
    if explained <= least * total:
        return 0.0
    return (explained - len(_MISPLACED.findall(text))) / total


@cache
def _letter_sets(*, japanese: bool) -> tuple[tuple[frozenset[str], float], ...]:
    """What may stand in a text of one language, and what that is worth, by language.

    Args:
        japanese: whether the text has kana, without which it is not Japanese.
    """
    weighted = [(letters, 1.0) for letters in _ALPHABETS] + [(_WEST, _WEST_WEIGHT)]
    sets = [(frozenset(letters + letters.upper() + _SIGNS), weight) for letters, weight in weighted]
    # The first half of each standard holds the common characters: level 1 of GB 2312, of Big5 and
    # of JIS X 0208, and the syllables of KS X 1001.
    wide = [("gb2312", 0xB0, 0xD7), ("big5", 0xA4, 0xC6), ("euc_kr", 0xB0, 0xC8)]
    if japanese:
        wide.append(("euc_jp", 0xB0, 0xCF))
    for encoding, first, last in wide:
        rows = (bytes((lead, trail)) for lead in range(first, last + 1) for trail in range(64, 255))
        common = frozenset("".join(row.decode(encoding, errors="ignore") for row in rows))
        kana = _KANA if encoding == "euc_jp" else frozenset()
        sets.append((common | _WIDE_SIGNS | kana, 1.0))
    return tuple(sets)
