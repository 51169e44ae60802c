"""Two files of parallel text of one's own, line N of one a translation of line N of the other."""

from collections import Counter
from pathlib import Path

from corpus.clean import MAX_WORDS
from corpus.pairs import Pair
from corpus.split import SPLITS, split_by_document
from corpus.text import write_splits
from fairseq_ringformer.errors import UserError
from fairseq_ringformer.files import read_lines
from fairseq_ringformer.text.normalisation import Normalisation

NORMALISATION = Normalisation("NFC", spaces=True)
FEWEST = 20
HELD_OUT = 1000
# Neighbouring lines are often of one document, and so alike: this many are held out together, of a large text.
MOST_LINES = 20


def read_files(files: tuple[Path, Path]) -> list[tuple[str, str]]:
    """The pairs of lines of both `files`; UserError if these cannot be read, or have unlike numbers of lines."""
    sides = []
    for path in files:
        try:
            sides.append(read_lines(path))
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UserError(f"{path} is not in UTF-8: convert it, by iconv for one") from None
    if len(sides[0]) != len(sides[1]):
        counts = " and ".join(f"{len(side):,} ({path})" for side, path in zip(sides, files, strict=True))
        raise UserError(f"the files have unlike numbers of lines, {counts}: line N of both is one pair")
    return list(zip(*sides, strict=True))


def make_splits(lines: list[tuple[str, str]], languages: tuple[str, str], seed: int, folder: Path) -> dict[str, dict]:
    """Clean and split pairs of lines into ``folder``; the counts as :func:`corpus.text.make_splits` gives them.

    Of a thousand pairs or so each, a tenth of all at most, are valid and test; neighbouring lines stay together, and a text
    stands in one split only. Raises UserError if there are too few.
    """
    size = min(MOST_LINES, max(1, len(lines) // 100))
    seen: set[tuple[str, str]] = set()
    dropped: Counter = Counter()
    pairs = []
    for number, line in enumerate(lines):
        pair = NORMALISATION(line[0]), NORMALISATION(line[1])
        if not all(pair):
            dropped["empty"] += 1
        elif pair in seen:
            dropped["duplicate"] += 1
        elif any(len(text.split()) > MAX_WORDS for text in pair):
            dropped["too long"] += 1
        else:
            pairs.append(Pair(str(number // size), *pair))
            seen.add(pair)
    if len(pairs) < FEWEST:
        raise UserError(
            f"{len(pairs)} of {len(lines):,} pairs of lines are of use, and {FEWEST} are the fewest to begin with"
        )
    result = split_by_document({"files": pairs}, HELD_OUT, seed)
    splits = {split: [pair[1:] for pair in result.pairs[split]["files"]] for split in SPLITS}
    write_splits(folder, languages, splits)
    count = {
        "extracted": len(lines),
        "documents": len({pair.document for pair in pairs}),
        "kept": {split: len(kept) for split, kept in splits.items()},
        "skipped": {},
        "dropped": dropped + result.dropped["files"],
    }
    return {"files": count}
