"""The example sentences of the Ding dictionary (package trans-de-en).

A line of the dictionary is an entry: ``German :: English``, both sides cut into the same number of fields
by `` | ``. The first field holds the headwords, the others hold inflected forms, phrases and example
sentences. Only the sentences are wanted: they start like a sentence and end like one on both sides.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from corpus.pairs import Pair

WANTED = re.compile(r"^usr/share/trans/de-en$")

# Word class {m}, field or region [med.] [Br.], other spelling <eel pout>; all are remarks, not text.
_REMARK = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]|<[^<>]*>|(?<!\S)/[A-Z][\w.]*/")
_REMARK_AT_END = re.compile(r"""(?<=[.!?"“'’])\s*\([^()]*\)$""")
_SENTENCE = re.compile(r"""^["„“‚‘'’(…]*[A-ZÄÖÜ\d].*[.!?]["“”’'‘)]*$""")
_ALTERNATIVE = re.compile(r"""\s*;\s+(?=["„“‚‘(]*[A-ZÄÖÜ])""")
_ENGLISH_QUOTE = re.compile(r"(?<!\w)‘([^‘]*?)’(?!\w)|(?<!\S)'(\S[^']*(?:'\w[^']*)*[.!?,])'(?!\w)")
_SLASHED = re.compile(r"(?<![\w/])([^\W\d_][\w'’-]*)(?:/[^\W\d_][\w'’-]*)+(?![\w/])")
# "someone", "something" as the dictionary writes them: such a field is a pattern, not a sentence.
_PATTERN = re.compile(r"\b(?:jds?|jdm|jdn|etw|sb|sth|Sb|Sth|Jd|Jdm|Jdn|Etw|usw|etc)\.(?!$)|\.\.\.|…")


def align(packages: Mapping[str, Mapping[str, bytes]], skipped: Counter) -> Iterator[Pair]:
    """Pair the example sentences of every entry; a document is the run of entries with one headword."""
    text = packages["trans-de-en"]["usr/share/trans/de-en"].decode("utf-8", errors="replace")
    for line in text.splitlines():
        if line.startswith("#") or line.count(" :: ") != 1:
            continue
        german_fields, english_fields = (side.split(" | ") for side in line.split(" :: "))
        if len(german_fields) != len(english_fields):
            skipped["fields differ in number"] += 1
            continue
        headword = None
        for german, english in zip(german_fields, english_fields, strict=True):
            if english[:1].islower():  # most of the dictionary; no need to look closer
                continue
            german, english = _without_remarks(german), _without_remarks(english)
            if not (_SENTENCE.match(german) and _SENTENCE.match(english)):
                continue
            headword = headword or _headword(german_fields[0])
            for pair in _alternatives(german, english):
                reason = _why_not(*pair)
                if reason:
                    skipped[reason] += 1
                else:
                    yield Pair(headword, *pair)


def _headword(field: str) -> str:
    bare = _without_remarks(re.sub(r"\([^()]*\)", " ", field)) or field
    return bare.split(";")[0].strip().casefold()


def _without_remarks(field: str) -> str:
    field = _REMARK.sub(" ", field)
    field = re.sub(r"\s+(?=[.,;!?])", "", re.sub(r"\s+", " ", field)).strip()
    return _REMARK_AT_END.sub("", field)


def _alternatives(german: str, english: str) -> Iterator[tuple[str, str]]:
    """Pair the ``;``-separated wordings of both sides: in order, the last of the shorter side repeated."""
    germans, englishes = _wordings(german), _wordings(_ENGLISH_QUOTE.sub(r'"\1\2"', english))
    for number in range(max(len(germans), len(englishes))):
        yield germans[min(number, len(germans) - 1)], englishes[min(number, len(englishes) - 1)]


def _wordings(field: str) -> list[str]:
    """The wordings that a field offers, each with the final stop that only the last one may carry."""
    wordings = [wording.strip() for wording in _ALTERNATIVE.split(field)]
    stop = field[-1] if field[-1] in ".!?" else "."
    ended = [wording if _SENTENCE.match(wording) else wording + stop for wording in wordings]
    # Of words joined by a slash ("main/primary concern") each would do; the first is the usual one.
    return [_SLASHED.sub(r"\1", wording) for wording in ended]


def _why_not(german: str, english: str) -> str | None:
    if not (_SENTENCE.match(german) and _SENTENCE.match(english)):
        return "not a sentence"
    if any(_PATTERN.search(side) for side in (german, english)):
        return "pattern, not a sentence"
    if "/" in german or "/" in english:
        return "wordings joined by a slash"
    if ("(" in german) != ("(" in english) or re.search(r"\w\(|\)\w", german + " " + english):
        return "optional words on one side"
    if any(len(re.findall('["„“”]', side)) % 2 for side in (german, english)):
        return "unbalanced quotes"
    return None
