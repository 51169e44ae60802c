"""Where blanks stand between words and punctuation marks: a simple rule for European languages and Chinese."""

import unicodedata
from collections.abc import Sequence
from functools import cache

# Whether a blank stands before the mark and after it.
OPENING, CLOSING, INSIDE, APART = (True, False), (False, True), (False, False), (True, True)
MARKS = {
    **dict.fromkeys(".,:;!?)]}%>…‰", CLOSING),
    **dict.fromkeys("([{<#$¿¡„‚", OPENING),
    **dict.fromkeys("-‐‑—/\\_+*@^~|°·∙", INSIDE),
    **dict.fromkeys("–=&", APART),
}
CATEGORIES = {"Ps": OPENING, "Pi": OPENING, "Pe": CLOSING, "Pf": CLOSING, "Pc": INSIDE, "Pd": INSIDE}
# Quotation marks that close if the other is open, and open otherwise.
QUOTES = {'"': '"', "'": "'", "`": "`", "“": "„", "‘": "‚", "«": "»", "»": "«", "‹": "›", "›": "‹"}
APOSTROPHES = frozenset("'’")
CONTRACTIONS = frozenset("s t re ve ll d m S T RE VE LL D M".split())
BETWEEN_DIGITS = frozenset(".,:–")
# What follows the hyphen of a word that is left out: "Ein- und Ausgabe".
GERMAN_CONJUNCTIONS = frozenset(("und", "oder", "bzw", "sowie"))


def guess_blanks(words: Sequence[str]) -> list[bool]:
    """Whether a blank stands before each of `words`; a punctuation mark is a word of its own, as in BERT's tokenizer.

    None before stops and closing brackets, none after opening ones, none around hyphens, slashes, Chinese characters
    and marks between digits; quotation marks open and close in turn; blanks everywhere else.
    """
    blanks = []
    after = False
    opened = set()
    last = len(words) - 1
    for number, word in enumerate(words):
        if len(word) > 1:
            blanks.append(after)
            after = True
            continue
        before, follows = _usual(word)
        left, right = words[number - 1] if number else "", words[number + 1] if number < last else ""
        if word in APOSTROPHES and right in CONTRACTIONS and left[-1:].isalnum():
            before, follows = INSIDE
        elif word in BETWEEN_DIGITS and left[-1:].isdigit() and right[:1].isdigit():
            before, follows = INSIDE
        elif word == "-" and right in GERMAN_CONJUNCTIONS:
            before, follows = CLOSING
        elif word in QUOTES:
            if QUOTES[word] in opened:
                opened.discard(QUOTES[word])
                before, follows = CLOSING
            else:
                opened.add(word)
                before, follows = OPENING
        elif word in "„‚":
            opened.add(word)
        blanks.append(after and before)
        after = follows
    return blanks


@cache
def _usual(character: str) -> tuple[bool, bool]:
    if character in MARKS:
        return MARKS[character]
    category = unicodedata.category(character)
    wide = unicodedata.east_asian_width(character) in "WF"
    if unicodedata.name(character, "").startswith("CJK ") or (wide and category.startswith("P")):
        return INSIDE
    return CATEGORIES.get(category, APART)
