"""Words as the Penn Treebank separates them.

The conventions are those of the Treebank's tokenizer (MacIntyre 1995) with NLTK's additions:
typographic quotes and dashes, runs of dots, and asterisks are tokens of their own.
"""

from __future__ import annotations

import re

# Each step puts spaces around what it finds, or between two parts of it; the order matters.
_STEPS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Quotes that open; a straight double one is told from one that closes by what precedes.
        (r"[\u00ab\u201c\u2018\u201e]|``?", r" \g<0> "),
        (r'^"', " `` "),
        (r"(?<=[ (\[{<])(?:\"|'')", " `` "),
        (r"(?i)(?<!\w)'(?!(?:[tsdmn]|re|ve|ll)\b)(?=\w)", "' "),
        # The last full stop of a text, before whatever closes; others may end abbreviations.
        (r"(?<=[^.])\.(?=[\])}>\"'\u00bb\u201d\u2019 ]*+\s*$)", " . "),
        # Not within numbers. The character that follows is looked at once only.
        (r"([:,])(\D)", r" \1 \2"),
        (r"[:,]$", r" \g<0> "),
        (r"\.{2,}|[;@#$%&?!]|[\u2012-\u2015]", r" \g<0> "),
        (r"(?<=[^'])' ", " ' "),
        (r"[*\]\[(){}<>]|--", r" \g<0> "),
        (r"\A|\Z", " "),
        (r"[\u00bb\u201d\u2019]|''", r" \g<0> "),
        (r'"', " '' "),
        (r"\s+", " "),
        # Clitics: the dog's, they'll, don't.
        (r"(?<=[^' ])(?=(?:'[sSmMdD]?) )", " "),
        (r"(?<=[^' ])(?=(?:'ll|'LL|'re|'RE|'ve|'VE|n't|N'T) )", " "),
        # Two words that are written as one.
        (r"(?i)\b(?:cannot|d'ye|gimme|gonna|gotta|lemme|more'n)\b|\bwanna(?=\s)", r" \g<0> "),
        (
            r"(?i)(?<=\bcan)(?=not\b)|(?<=\bd)(?='ye\b)|(?<=\bgim)(?=me\b)|(?<=\bgon)(?=na\b)"
            r"|(?<=\bgot)(?=ta\b)|(?<=\blem)(?=me\b)|(?<=\bmore)(?='n\b)|(?<=\bwan)(?=na\s)",
            " ",
        ),
        (r"(?i) ('t)(is)\b", r" \1 \2 "),
        (r"(?i) ('t)(was)\b", r" \1 \2 "),
    )
)


def split_words(text: str) -> list[str]:
    """The words and punctuation marks of a text, in order."""
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    return text.split()
