"""From the results of a study to a summary of each row: mean and spread over seeds, significance, rank."""

import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files import read_lines
from ..counts.paper import Table
from .significance import paired_bootstrap


def check_unique(results: Sequence[Mapping[str, Any]]) -> None:
    """UserError if two results are of one run; ``file`` is where each is from."""
    files: dict[tuple, Any] = {}
    for entry in results:
        run = entry["grid"], entry["row"], entry["seed"]
        if run in files:
            raise UserError(
                f"two results of {entry['row']}, seed {entry['seed']} of {entry['grid']}, in "
                f"{' and '.join(dict.fromkeys((str(files[run]), str(entry['file']))))}: report on one study at a time"
            )
        files[run] = entry["file"]


def check_comparable(results: Sequence[Mapping[str, Any]]) -> None:
    """UserError if results of one grid were measured with different options or data."""
    first = results[0]
    for entry in results[1:]:
        if entry["conditions"] != first["conditions"]:
            differ = [
                f"{name} {first.get(name)} and {entry.get(name)}"
                for name in ("updates", "data", "beam", "lenpen", "own_flags")
                if first.get(name) != entry.get(name)
            ]
            raise UserError(
                f"{first['row']} and {entry['row']} of {first['grid']} were measured with different options or data"
                f"{': ' if differ else ''}{', '.join(differ)}; report on them apart"
            )


def gather(table: Table, results: Sequence[Mapping[str, Any]], metric: str) -> list[dict[str, Any]]:
    """A summary of each row of `table` that has results, in the table's order.

    Args:
        metric: ``bleu`` or ``top1``.

    Returns:
        dictionaries with ``row``, ``seeds``, ``parameters``, ``updates``, ``seconds`` (mean), ``mean`` and ``spread``
        (standard deviation, None for one seed) of the metric, ``chrf`` (mean, None for images), ``published``, ``runs``,
        and ``compared``, the mean over the seeds that all rows have (None if there is none): others would compare luck.
    """
    summary = []
    for row in table.rows:
        runs = sorted((entry for entry in results if entry["row"] == row.name), key=lambda entry: entry["seed"])
        if not runs:
            continue
        scores = [entry[metric] for entry in runs]
        chrf = [entry["chrf"] for entry in runs if "chrf" in entry]
        summary.append(
            {
                "row": row.name,
                "seeds": [entry["seed"] for entry in runs],
                "parameters": runs[0]["parameters"],
                "updates": runs[0]["updates"],
                "seconds": statistics.mean(entry["seconds"] for entry in runs),
                "mean": statistics.mean(scores),
                "spread": statistics.stdev(scores) if len(scores) > 1 else None,
                "chrf": statistics.mean(chrf) if chrf else None,
                "published": row.score,
                "runs": runs,
            }
        )
    common = common_seeds(summary)
    for row in summary:
        scores = [entry[metric] for entry in row["runs"] if entry["seed"] in common]
        row["compared"] = statistics.mean(scores) if scores else None
    return summary


def common_seeds(summary: Sequence[Mapping[str, Any]]) -> list[int]:
    """The seeds that all rows have."""
    return sorted(set.intersection(*(set(row["seeds"]) for row in summary))) if summary else []


def differences(row: Mapping[str, Any], base: Mapping[str, Any], metric: str) -> list[float]:
    """To `base`, of each seed that both have."""
    of_base = {run["seed"]: run[metric] for run in base["runs"]}
    return [run[metric] - of_base[run["seed"]] for run in row["runs"] if run["seed"] in of_base]


def add_significance(summary: Sequence[dict[str, Any]], baseline: str, references: Path | None) -> str:
    """Add ``p`` to each row but the baseline's: paired bootstrap of each seed that both have, and the largest p of them.

    Seeds are not put together: their translations of a sentence are no independent draws. Where one seed gains and
    another loses ``p`` is None: that of the one would stand beside the sign of the other. ``p_by_seed`` has all.

    Args:
        references: the test set's.

    Returns:
        why there is none, or nothing.
    """
    rows = {row["row"]: row for row in summary}
    if baseline not in rows:
        return f"no significance: the baseline, {baseline}, has no results"
    if references is None or not references.is_file():
        return "no significance: the references are not there (--data names the prepared data)"
    wanted = read_lines(references)
    texts: dict[int, dict[str, list[str]]] = {}
    for name, row in rows.items():
        for run in row["runs"]:
            folder = run["file"].parent / run["folder"]
            path = next(folder.glob("hypotheses.*"), None)  # its ending is the target language
            if path is None:
                return f"no significance: {folder} has no translations"
            lines = read_lines(path)
            if len(lines) != len(wanted):
                return f"no significance: {path} and {references} have different numbers of lines"
            texts.setdefault(run["seed"], {})[name] = lines
    p_values: dict[str, dict[int, float]] = {}
    for seed, by_row in sorted(texts.items()):
        if baseline in by_row and len(by_row) > 1:
            others = {name: lines for name, lines in by_row.items() if name != baseline}
            for name, p_value in paired_bootstrap(by_row[baseline], others, wanted).items():
                p_values.setdefault(name, {})[seed] = p_value
    for name, by_seed in p_values.items():
        gains = differences(rows[name], rows[baseline], "bleu")
        agree = min(gains) >= 0 or max(gains) <= 0
        rows[name].update(p=max(by_seed.values()) if agree else None, p_by_seed=by_seed)
    return ""


def agreement(summary: Sequence[Mapping[str, Any]]) -> dict[str, int] | None:
    """How many pairs of rows stand in the published order: ``same`` of ``pairs``; equal scores do not count."""
    rows = [row for row in summary if row["published"] is not None and row["compared"] is not None]
    signs = [(a["compared"] - b["compared"]) * (a["published"] - b["published"]) for a, b in combinations(rows, 2)]
    signs = [sign for sign in signs if sign]
    return {"same": sum(sign > 0 for sign in signs), "pairs": len(signs)} if signs else None


def ranks(values: Sequence[float | None]) -> list[int | None]:
    """The rank of each value, the largest first; equal ones share the better rank."""
    known = [value for value in values if value is not None]
    return [None if value is None else 1 + sum(other > value for other in known) for value in values]
