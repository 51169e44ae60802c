"""Cut paragraph pairs into sentence pairs, where both sides plainly have the same sentences."""

import re

# What a full stop follows without ending a sentence, in either language, in lower case and without the stop.
ABBREVIATIONS = frozenset(
    """
    abb abk abs abschn allg anm art aufl bd bes bspw bsp bzgl bzw ca cf ch chap co dergl dgl dh dr ebd eds eg engl entspr
    erg etc etw evtl ex exkl fig figs fr ggf ggfs hl hrsg ie inc incl inkl insb insbes jd jdm jdn jh jr kap lat ltd lt max
    mind min mio mr mrd mrs ms nr no num op orig p pp prof resp s sec sect sen sog sr st std str tel u usf usw v verf
    vgl vol vs z zb zit zzgl ziff
    """.split()
)

_BOUNDARY = re.compile(r"""(?<=[.!?])(["')\]]*)\s+(?=["'(\[]*[^\W\d_a-zäöüß]|["'(\[]*\d)""")
_LAST_WORD = re.compile(r"[\w.\-/]*$")


def split(paragraph: str) -> list[str]:
    """The sentences of a German or English paragraph (whitespace already single), in order.

    Careful rather than eager: after an abbreviation, an initial or a number ("am 3. Mai") the text goes on.
    """
    sentences, start = [], 0
    for boundary in _BOUNDARY.finditer(paragraph):
        before = paragraph[start : boundary.start()]
        if before.endswith("."):
            word = _LAST_WORD.search(before[:-1]).group().lower()
            bare = word.replace(".", "")
            if bare in ABBREVIATIONS or len(bare) < 2 or bare.isdigit() or "." in word and len(bare) < 5:
                continue
        sentences.append(paragraph[start : boundary.end()].strip())
        start = boundary.end()
    sentences.append(paragraph[start:].strip())
    return [sentence for sentence in sentences if sentence]


def ratio_is_odd(german: str, english: str) -> bool:
    """Whether the lengths of two texts differ by more than translations do."""
    short, long = sorted((len(german), len(english)))
    return long > 2.5 * short + 15


def split_pair(german: str, english: str) -> list[tuple[str, str]]:
    """Sentence pairs of a paragraph pair; the paragraph pair itself where the sentences do not match up.

    They match up if there are equally many and no two of them differ oddly in length.
    """
    pairs = list(zip(split(german), split(english), strict=False))
    if len(pairs) != len(split(german)) or len(pairs) != len(split(english)):
        return [(german, english)]
    if any(ratio_is_odd(*pair) for pair in pairs):
        return [(german, english)]
    return pairs
