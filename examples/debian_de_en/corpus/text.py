"""From aligned pairs of all sources to the plain text files of the three splits, with the counts of it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from corpus.clean import key, normalise, why_unfit
from corpus.pairs import Pair
from corpus.sentences import split_pair
from corpus.split import SPLITS, split_by_document


def clean_pairs(pairs: Iterable[Pair], seen: set[tuple[str, str]], dropped: Counter) -> list[Pair]:
    """Normalise pairs, cut them into sentences, and keep the fit ones that are new.

    ``seen`` holds the keys of all pairs kept so far and grows; ``dropped`` counts the others by reason.
    """
    fit = []
    for pair in pairs:
        for german, english in split_pair(normalise(pair.german), normalise(pair.english)):
            reason = why_unfit(german, english)
            keys = (key(german), key(english))
            if not reason and keys in seen:
                reason = "duplicate"
            if reason:
                dropped[reason] += 1
            else:
                seen.add(keys)
                fit.append(Pair(pair.document, german, english))
    return fit


def write_splits(folder: Path, languages: tuple[str, str], splits: Mapping[str, Iterable[tuple[str, str]]]) -> None:
    """Write pairs as ``folder``/{train,valid,test}.LANGUAGE, one text a line."""
    for split in SPLITS:
        pairs = list(splits[split])
        for side, language in enumerate(languages):
            lines = "".join(pair[side] + "\n" for pair in pairs)
            (folder / f"{split}.{language}").write_text(lines, encoding="utf-8", newline="\n")


def make_splits(
    sources: Mapping[str, Iterable[Pair]],
    held_out: int,
    seed: int,
    folder: Path,
    languages: tuple[str, str] = ("de", "en"),
    clean: Callable[[Iterable[Pair], set, Counter], list[Pair]] = clean_pairs,
) -> dict[str, dict]:
    """Clean and split the pairs of all sources into ``folder``; the counts by source.

    ``sources`` maps a name to the aligned pairs, which ``clean`` takes as ``clean_pairs`` does. The counts of a source are
    ``extracted`` (aligned texts), ``dropped`` (sentence pairs by reason) and ``kept`` (sentence pairs by split).
    """
    seen: set[tuple[str, str]] = set()
    fit: dict[str, list[Pair]] = {}
    counts: dict[str, dict] = {}
    for name, pairs in sources.items():
        pairs = list(pairs)
        dropped: Counter = Counter()
        fit[name] = clean(pairs, seen, dropped)
        counts[name] = {"extracted": len(pairs), "dropped": dropped}
    result = split_by_document(fit, held_out, seed)
    for name in sources:
        counts[name]["dropped"] += result.dropped[name]
        counts[name]["kept"] = {split: len(result.pairs[split][name]) for split in SPLITS}
        counts[name]["documents"] = len({pair.document for pair in fit[name]})
    write_splits(
        folder,
        languages,
        {
            split: ((pair.german, pair.english) for from_source in by_source.values() for pair in from_source)
            for split, by_source in result.pairs.items()
        },
    )
    return counts
