"""Two files of parallel text of one's own, line N of one a translation of line N of the other."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from corpus import text
from corpus.clean import MAX_WORDS
from corpus.pairs import Pair
from fairseq_ringformer.errors import UserError
from fairseq_ringformer.files import read_lines
from fairseq_ringformer.text.normalisation import Normalisation

NORMALISATION = Normalisation("NFC", spaces=True)
FEWEST = 20
HELD_OUT = 1000
# Neighbouring lines are often of one document, and so alike: this many are held out together, of a large text.
MOST_LINES = 20


def read_pairs(files: tuple[Path, Path]) -> list[Pair]:
    """The pairs of lines of both `files`, neighbours as one document; UserError if these do not belong together."""
    sides = []
    for path in files:
        try:
            sides.append(read_lines(path))
        except UnicodeDecodeError:
            raise UserError(f"{path} is not in UTF-8: convert it, by iconv for one") from None
    if len(sides[0]) != len(sides[1]):
        counts = " and ".join(f"{len(side):,} ({path})" for side, path in zip(sides, files, strict=True))
        raise UserError(f"the files have unlike numbers of lines, {counts}: line N of both is one pair")
    size = min(MOST_LINES, max(1, len(sides[0]) // 100))
    return [Pair(str(number // size), *line) for number, line in enumerate(zip(*sides, strict=True))]


def clean_pairs(pairs: Iterable[Pair], seen: set[tuple[str, str]], dropped: Counter) -> list[Pair]:
    """As :func:`corpus.text.clean_pairs`, of any two languages; UserError if too few pairs are left."""
    fit = []
    for document, *line in pairs:
        source, target = map(NORMALISATION, line)
        if not source or not target:
            dropped["empty"] += 1
        elif (source, target) in seen:
            dropped["duplicate"] += 1
        elif any(len(side.split()) > MAX_WORDS for side in (source, target)):
            dropped["too long"] += 1
        else:
            fit.append(Pair(document, source, target))
            seen.add((source, target))
    if len(fit) < FEWEST:
        count = len(fit) + dropped.total()
        raise UserError(f"{len(fit)} of {count:,} pairs of lines are of use, and {FEWEST} are the fewest to begin with")
    return fit


def make_splits(files: tuple[Path, Path], languages: tuple[str, str], seed: int, folder: Path) -> dict[str, dict]:
    """As :func:`corpus.text.make_splits`, of the lines of two `files`."""
    counts = text.make_splits({"files": read_pairs(files)}, HELD_OUT, seed, folder, languages, clean_pairs)
    counts["files"]["skipped"] = {}
    return counts
