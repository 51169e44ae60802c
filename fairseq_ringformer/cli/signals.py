"""Show what the level signals of a ring do.

  ringformer signals --path runs/a/checkpoint_best.pt --data BIN_DIR --subset valid --output signals
  ringformer signals --path runs/ring/best.pt --data data/fashion_mnist --dataset torch/fashion_mnist --output signals

By level and part (queries, keys, values, feed-forward): how large the signal M x is over real data beside what it is
added to, the projection W x or the state x; how alike the matrices of different levels are (cosine); the effective rank
of M. A table on standard output, PREFIX.png, PREFIX.svg and PREFIX.json.
"""

import argparse
from typing import Any

from ..errors import UserError
from . import subjects as shared

ENDINGS = (".png", ".svg", ".json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_arguments(parser, None, 500)


def run(args: argparse.Namespace) -> int:
    from .._fairseq import quiet
    from ..analysis.inspection.signal_report import SignalReport

    shared.check_output(args.output, ENDINGS)
    with quiet():
        (subject,) = shared.load_subjects(args)
        try:
            report = SignalReport(subject.model)
        except ValueError as error:
            raise UserError(f"{subject.path}: {error}") from None
        examples = shared.Examples(args, [subject])
        for (batch,) in shared.progress(examples.batches(budget=8192, by_length=True)):
            report.add(batch)
        try:
            found = report.result()
        except ValueError as error:
            raise UserError(f"{args.data}: {error}") from None
        _write(args, subject, examples, found, {side: watch.rows for side, watch in report.watches.items()})
    return 0


def _write(
    args: argparse.Namespace,
    subject: shared.Subject,
    examples: shared.Examples,
    found: dict[str, dict[str, Any]],
    rows: dict[str, int],
) -> None:
    from ..analysis.inspection.figures import draw_signals

    text = examples.kind == shared.TEXT
    count = len(examples) - examples.left_out
    about = f"{subject.name}: {count:,} {'sentences' if text else 'images'}"
    shared.draw(draw_signals(found, about), args.output)
    shared.write_json(
        {
            "checkpoint": subject.described(),
            "data": args.data,
            ("subset" if text else "split"): args.subset if text else args.split,
            "examples": count,
            "seed": args.seed,
            "sides": {
                side: {
                    "rows": rows[side],
                    "parts": {
                        part: {
                            "ratio": shared.rounded(own.ratio),
                            "ratio_to": own.against,
                            "cosine": shared.rounded(own.cosine),
                            "effective_rank": shared.rounded(own.rank),
                            "rank_limit": own.rank_limit,
                        }
                        for part, own in parts.items()
                    },
                }
                for side, parts in found.items()
            },
        },
        args.output + ".json",
    )
    print(f"{about}, {' and '.join(f'{own:,} tokens ({side})' for side, own in rows.items())}")
    for side, parts in found.items():
        print(_table(side if len(found) > 1 else "", parts))
    print(f"written: {', '.join(args.output + ending for ending in ENDINGS)}")


def _table(side: str, parts: dict[str, Any]) -> str:
    """A row for each level; `cosine` is the mean over the other levels and the parts' own matrices."""
    from tabulate import tabulate

    headers = [f"{side} level".strip()]
    headers += [f"{part} |Mx|/|{own.against.replace(' ', '')}|" for part, own in parts.items()]
    headers += [f"{kind} {part}" for kind in ("cosine", "rank") for part in parts]
    levels = len(next(iter(parts.values())).ratio)
    rows: list[list[Any]] = []
    for level in range(levels):
        row: list[Any] = [level + 1, *(own.ratio[level] for own in parts.values())]
        for own in parts.values():
            others = [value for other, value in enumerate(own.cosine[level]) if other != level]
            row.append(sum(others) / len(others) if others else None)
        rows.append(row + [own.rank[level] for own in parts.values()])
    formats = ("", *[".3f"] * len(parts), *[".2f"] * len(parts), *[".1f"] * len(parts))
    limits = ", ".join(f"{part} {own.rank_limit}" for part, own in parts.items())
    table = tabulate(rows, headers=headers, floatfmt=formats)
    return f"{table}\n(cosine: mean with the other levels; most rank: {limits})"
