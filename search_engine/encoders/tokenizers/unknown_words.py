"""When a text has too many words that a vocabulary lacks."""

from __future__ import annotations

import regex

from search_engine.scripts import UNSPACED_CHARACTER

# Two letters of some script, or one where one may be a word. Mathematics has letters of its own,
# and single ones of other scripts.
_LETTER = r"[\p{L}--\p{Script=Common}]"
WORD = regex.compile(rf"{UNSPACED_CHARACTER}|{_LETTER}\p{{M}}*{_LETTER}", regex.V1)
# Of a text's tokens, as unknown words. On XQuAD's paragraphs in pieces of 200 tokens, the default
# model's tokenizer has more for all of Thai and Chinese and 83 % of Hindi, and for none or one
# piece of a language whose letters it knows.
UNKNOWN_SHARE = 0.02
