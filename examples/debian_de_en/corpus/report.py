"""The counts of a run, as a table for people."""

from collections import Counter

from tabulate import tabulate

from corpus.split import SPLITS


def table(counts: dict[str, dict]) -> str:
    """A readable table of the counts by source: texts aligned, sentence pairs by split, and what was dropped.

    ``counts`` maps a source to ``extracted``, ``documents``, ``kept`` (by split), ``skipped`` and ``dropped``
    (both by reason).
    """
    rows = [
        [
            name,
            source["extracted"],
            source["documents"],
            *(source["kept"][split] for split in SPLITS),
            sum(source["dropped"].values()),
        ]
        for name, source in counts.items()
    ]
    rows.append(["all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])])
    lines = [tabulate(rows, headers=["source", "aligned", "documents", *SPLITS, "dropped"], intfmt=",")]
    for kind, meaning in (("skipped", "not aligned"), ("dropped", "dropped")):
        reasons = sum((Counter(source[kind]) for source in counts.values()), Counter())
        listed = ", ".join(f"{reason} {number:,}" for reason, number in reasons.most_common())
        lines.append(f"{meaning}: {listed or 'nothing'}")
    return "\n".join(lines)


def length_table(lengths: dict[str, dict[str, float]]) -> str:
    """The mean lengths of the training texts by language, in words and sub-words."""
    rows = [[language, *mean.values()] for language, mean in lengths.items()]
    return tabulate(rows, headers=["train", *next(iter(lengths.values()))], floatfmt=".1f")
