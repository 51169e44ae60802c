"""Show what the level signals of a ring do.

  ringformer signals --path runs/a/checkpoint_best.pt --data BIN_DIR --subset valid --output signals
  ringformer signals --path runs/ring/best.pt --data data/fashion_mnist --dataset torch/fashion_mnist --output signals

By level and part (queries, keys, values, feed-forward): how large the signal M x is over real data beside what it is
added to, the projection W x or the state x; how alike the matrices of different levels are (cosine); the effective rank
of M. A table on standard output, PREFIX.png, PREFIX.svg and PREFIX.json.
"""

import argparse
from typing import Any

from ..errors import about
from . import inspection as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_arguments(parser, None, 500)


def run(args: argparse.Namespace) -> int:
    from .._fairseq import quiet
    from ..analysis.inspection.signal_report import SignalReport

    shared.check_outputs(args.output)
    with quiet():
        (loaded,) = models = shared.load_models(args)
        with about(loaded.path):
            report = SignalReport(loaded.model)
        examples = shared.open_examples(args, models)
        for (batch,) in shared.progress(examples.batches(budget=8192, by_length=True)):
            report.add(batch)
        with about(args.data):
            sides = report.result()
        _write(args, loaded, examples, sides, {side: watch.rows for side, watch in report.watches.items()})
    return 0


def _write(
    args: argparse.Namespace, loaded: Any, examples: Any, sides: dict[str, dict[str, Any]], rows: dict[str, int]
) -> None:
    from ..analysis.inspection.figures import draw_signals
    from ..analysis.output import rounded, save_figure, write_json

    about = f"{loaded.name}: {len(examples):,} {examples.unit}"
    save_figure(args.output, draw_signals(sides, about))
    content = {"checkpoint": loaded.describe(), **shared.described(args, examples), "sides": {}}
    for side, parts in sides.items():
        content["sides"][side] = {
            "rows": rows[side],
            "parts": {
                part: {
                    "ratio": rounded(measured.ratio),
                    "ratio_to": measured.against,
                    "cosine": rounded(measured.cosine),
                    "effective_rank": rounded(measured.rank),
                    "rank_limit": measured.rank_limit,
                }
                for part, measured in parts.items()
            },
        }
    write_json(args.output + ".json", content)
    print(f"{about}, {' and '.join(f'{count:,} tokens ({side})' for side, count in rows.items())}")
    for side, parts in sides.items():
        print(_table(side if len(sides) > 1 else "", parts))
    shared.print_written(args)


def _table(side: str, parts: dict[str, Any]) -> str:
    """A row for each level; `cosine` is the mean over the other levels and the matrices of the part."""
    from tabulate import tabulate

    headers = [f"{side} level".strip()]
    headers += [f"{part} |Mx|/|{measured.against.replace(' ', '')}|" for part, measured in parts.items()]
    headers += [f"{kind} {part}" for kind in ("cosine", "rank") for part in parts]
    levels = len(next(iter(parts.values())).ratio)
    rows: list[list[Any]] = []
    for level in range(levels):
        row: list[Any] = [level + 1, *(measured.ratio[level] for measured in parts.values())]
        for measured in parts.values():
            others = [value for other, value in enumerate(measured.cosine[level]) if other != level]
            row.append(sum(others) / len(others) if others else None)
        rows.append(row + [measured.rank[level] for measured in parts.values()])
    formats = ("", *[".3f"] * len(parts), *[".2f"] * len(parts), *[".1f"] * len(parts))
    limits = ", ".join(f"{part} {measured.rank_limit}" for part, measured in parts.items())
    table = tabulate(rows, headers=headers, floatfmt=formats)
    return f"{table}\n(cosine: mean with the other levels; most rank: {limits})"
