"""The language of a text, and the code of a language that somebody named."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# ISO 639-1 code: other codes (ISO 639-2, 639-3), names in English, names in the language itself.
# Those languages with a Snowball stemmer, with a script of their own, or with many speakers.
_LANGUAGES = {
    "af": "afr, afrikaans",
    "am": "amh, amharic, አማርኛ",
    "ar": "ara, arb, arabic, العربية",
    "az": "aze, azj, azerbaijani, azərbaycan dili, azərbaycanca",
    "be": "bel, belarusian, беларуская",
    "bg": "bul, bulgarian, български",
    "bn": "ben, bengali, bangla, বাংলা",
    "ca": "cat, catalan, català",
    "cs": "ces, cze, czech, čeština, česky",
    "da": "dan, danish, dansk",
    "de": "deu, ger, german, deutsch",
    "el": "ell, gre, greek, ελληνικά",
    "en": "eng, english",
    "es": "spa, spanish, castilian, español, castellano",
    "et": "est, ekk, estonian, eesti",
    "eu": "eus, baq, basque, euskara",
    "fa": "fas, per, pes, persian, farsi, فارسی",
    "fi": "fin, finnish, suomi",
    "fr": "fra, fre, french, français",
    "ga": "gle, irish, gaeilge",
    "gu": "guj, gujarati, ગુજરાતી",
    "he": "heb, iw, hebrew, עברית",
    "hi": "hin, hindi, हिन्दी, हिंदी",
    "hr": "hrv, croatian, hrvatski",
    "hu": "hun, hungarian, magyar",
    "hy": "hye, arm, armenian, հայերեն",
    "id": "ind, in, indonesian, bahasa indonesia",
    "it": "ita, italian, italiano",
    "ja": "jpn, japanese, 日本語",
    "ka": "kat, geo, georgian, ქართული",
    "kk": "kaz, kazakh, қазақша, қазақ тілі",
    "km": "khm, khmer, ភាសាខ្មែរ, ខ្មែរ",
    "kn": "kan, kannada, ಕನ್ನಡ",
    "ko": "kor, korean, 한국어",
    "lo": "lao, ລາວ, ພາສາລາວ",
    "lt": "lit, lithuanian, lietuvių",
    "lv": "lav, lvs, latvian, latviešu",
    "mk": "mkd, mac, macedonian, македонски",
    "ml": "mal, malayalam, മലയാളം",
    "mr": "mar, marathi, मराठी",
    "ms": "msa, may, zsm, malay, bahasa melayu",
    "my": "mya, bur, burmese, မြန်မာ, မြန်မာဘာသာ",
    "ne": "nep, npi, nepali, नेपाली",
    "nl": "nld, dut, dutch, flemish, nederlands",
    "no": "nor, nb, nob, nn, nno, norwegian, norwegian bokmål, norwegian nynorsk, norsk",
    "pa": "pan, punjabi, panjabi, ਪੰਜਾਬੀ",
    "pl": "pol, polish, polski",
    "pt": "por, portuguese, português",
    "ro": "ron, rum, romanian, moldovan, română",
    "ru": "rus, russian, русский",
    "si": "sin, sinhala, සිංහල",
    "sk": "slk, slo, slovak, slovenčina",
    "sl": "slv, slovenian, slovene, slovenščina",
    "sq": "sqi, alb, albanian, shqip",
    "sr": "srp, scc, serbian, српски, srpski",
    "sv": "swe, swedish, svenska",
    "sw": "swa, swh, swahili, kiswahili",
    "ta": "tam, tamil, தமிழ்",
    "te": "tel, telugu, తెలుగు",
    "th": "tha, thai, ไทย, ภาษาไทย",
    "tl": "tgl, fil, tagalog, filipino",
    "tr": "tur, turkish, türkçe",
    "uk": "ukr, ukrainian, українська",
    "ur": "urd, urdu, اردو",
    "uz": "uzb, uzn, uzbek, o\u02bbzbekcha, o'zbek",
    "vi": "vie, vietnamese, tiếng việt",
    "yi": "yid, yiddish, ייִדיש",
    "zh": "zho, chi, cmn, chinese, mandarin, 中文, 汉语, 漢語",
}
# Language, script, region and variants (RFC 5646), or a locale: de-DE, zh-Hans, DE_at, de_AT.UTF-8.
_TAG = re.compile(r"([a-z]{2,3})(?:[-_](?:[a-z]{2}|[a-z]{4}|[0-9]{3}|[a-z0-9]{5,8}))*(?:[.@].*)?")
# Front matter, fenced and quoted code, tags, addresses: English words in any language. What comes
# before "://" and "@" is bounded, and looked for from its beginning only: a text without spaces
# would be gone through again from each of its characters.
_NO_PROSE = re.compile(
    r"\A---\n.*?\n---\n|^```.*?^```|^~~~.*?^~~~|`[^`\n]*`|<[^<>\n]*>"
    r"|(?<![A-Za-z])[A-Za-z][A-Za-z0-9+.-]{0,19}://\S+|(?<![^\s>`])\S[^\s@]{0,79}@\S+",
    re.DOTALL | re.MULTILINE,
)
# Characters of a text that are looked at, and of its prose that are enough.
_BEGINNING = 20_000
_ENOUGH = 2_000
# Below this probability the language stays unknown. Of Tatoeba's 15,548 sentences in 16 languages
# (29 characters in the middle) 95.9 % are above it, and 0.1 % of these wrong; of NTREX's 31,952
# (116 characters) 99.4 % and 0.05 %. Of CoSQA's 6,267 functions 530 stay unknown, and two are not
# English: those whose docstrings are French and Spanish.
_LEAST_PROBABILITY = 0.6


def detect_language(text: str) -> str | None:
    """The ISO 639-1 code of the language that the prose at the beginning of a text is written in.

    Returns:
        None where there is too little prose to tell.
    """
    prose = _NO_PROSE.sub(" ", text[:_BEGINNING])[:_ENOUGH]
    code, probability = _load_identifier().classify(prose)
    return _CODES[code] if probability >= _LEAST_PROBABILITY else None


def normalize_language(value: object) -> str | None:
    """The ISO 639-1 code of a language that is named by a code, a tag, a locale or a name.

    "de", "de-DE", "DE_at", "deu", "German" and "Deutsch" are all "de".

    Returns:
        None for what names none of the languages that are known here.
    """
    if not isinstance(value, str):
        return None
    name = _fold(value.strip())
    if name in _CODES:
        return _CODES[name]
    tag = _TAG.fullmatch(name)
    return _CODES.get(tag[1]) if tag else None


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


_CODES = {
    _fold(name): code for code, names in _LANGUAGES.items() for name in (code, *names.split(", "))
}


@cache
def _load_identifier() -> LanguageIdentifier:
    """py3langid's model (0.8 s), told of no other languages, since it takes code for rare ones."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([label for label in identifier.labels if label in _CODES])
    return identifier
