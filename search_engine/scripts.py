"""Which characters are written without spaces between words, for sets of the `regex` module."""

from __future__ import annotations

# With the marks of length and of voicing, which belong to several of the scripts.
_SCRIPTS = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\u3006\u30fc\u3099\u309a\uff70\uff9e\uff9f"
)
# One word character of these scripts, and one of all others; sets need `regex.V1`.
UNSPACED_CHARACTER = rf"[\w&&[{_SCRIPTS}]]"
SPACED_CHARACTER = rf"[\w--[{_SCRIPTS}]]"
