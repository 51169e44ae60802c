"""The counts of a run, as JSON for programs and as a table for people."""

from collections import Counter

from corpus.split import SPLITS


def table(counts: dict[str, dict]) -> str:
    """A readable table of the counts by source: texts aligned, sentence pairs by split, and what was dropped.

    ``counts`` maps a source to ``extracted``, ``documents``, ``kept`` (by split), ``skipped`` and ``dropped``
    (both by reason).
    """
    rows = [("source", "aligned", "documents", *SPLITS, "dropped")]
    for name, own in counts.items():
        kept = [f"{own['kept'][split]:,}" for split in SPLITS]
        rows.append(
            (name, f"{own['extracted']:,}", f"{own['documents']:,}", *kept, f"{sum(own['dropped'].values()):,}")
        )
    sums = [sum(own["kept"][split] for own in counts.values()) for split in SPLITS]
    rows.append(
        (
            "all",
            f"{sum(own['extracted'] for own in counts.values()):,}",
            f"{sum(own['documents'] for own in counts.values()):,}",
            *(f"{number:,}" for number in sums),
            f"{sum(sum(own['dropped'].values()) for own in counts.values()):,}",
        )
    )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    for kind, meaning in (("skipped", "not aligned"), ("dropped", "dropped")):
        reasons: Counter = Counter()
        for own in counts.values():
            reasons.update(own[kind])
        listed = ", ".join(f"{reason} {number:,}" for reason, number in reasons.most_common() if number)
        lines.append(f"{meaning}: {listed or 'nothing'}")
    return "\n".join(lines)
