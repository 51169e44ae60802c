"""From the results of a study to tables: mean and spread over seeds, significance, the paper's order."""

import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from ...files import read_lines
from ..counts.paper import Table
from .significance import paired_bootstrap

DISAGREE = "±"  # in place of a p
LABELS = {"bleu": "BLEU", "top1": "top-1"}


def check_comparable(results: Sequence[Mapping[str, Any]]) -> None:
    """ValueError if results of one grid were measured with different options or data."""
    first = results[0]
    for entry in results[1:]:
        if entry["conditions"] != first["conditions"]:
            differ = [
                f"{name} {first.get(name)} and {entry.get(name)}"
                for name in ("updates", "data", "beam", "lenpen", "own_flags")
                if first.get(name) != entry.get(name)
            ]
            raise ValueError(
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
            path = run["file"].parent / run["folder"] / f"hypotheses{references.suffix}"
            if not path.is_file():
                return f"no significance: {path} is not there"
            lines = read_lines(path)
            if len(lines) != len(wanted):
                return f"no significance: {path} and {references} have different numbers of lines"
            texts.setdefault(run["seed"], {})[name] = lines
    found: dict[str, dict[int, float]] = {}
    for seed, own in sorted(texts.items()):
        if baseline in own and len(own) > 1:
            others = {name: lines for name, lines in own.items() if name != baseline}
            for name, chance in paired_bootstrap(own[baseline], others, wanted).items():
                found.setdefault(name, {})[seed] = chance
    for name, by_seed in found.items():
        gains = _differences(rows[name], rows[baseline], "bleu")
        agree = min(gains) >= 0 or max(gains) <= 0
        rows[name].update(p=max(by_seed.values()) if agree else None, p_by_seed=by_seed)
    return ""


def agreement(summary: Sequence[Mapping[str, Any]]) -> dict[str, int] | None:
    """How many pairs of rows stand in the published order: ``same`` of ``pairs``; equal scores do not count."""
    rows = [row for row in summary if row["published"] is not None and row["compared"] is not None]
    signs = [(a["compared"] - b["compared"]) * (a["published"] - b["published"]) for a, b in combinations(rows, 2)]
    signs = [sign for sign in signs if sign]
    return {"same": sum(sign > 0 for sign in signs), "pairs": len(signs)} if signs else None


def places(values: Sequence[float | None]) -> list[int | None]:
    """The place of each value, the largest first; equal ones share the better place."""
    known = [value for value in values if value is not None]
    return [None if value is None else 1 + sum(other > value for other in known) for value in values]


def table_rows(summary: Sequence[Mapping[str, Any]], baseline: str, metric: str) -> list[list[str]]:
    """The cells of a table, a list for each row, headings first."""
    name = LABELS[metric]
    chrf, significance = any(row["chrf"] is not None for row in summary), any("p" in row for row in summary)
    base = next((row for row in summary if row["row"] == baseline), None)
    ours, theirs = places([row["compared"] for row in summary]), places([row["published"] for row in summary])
    several = _seeds_differ(summary)
    cells = [
        [
            "row",
            *(["seeds"] if several else []),
            "parameters",
            "updates",
            "training",
            name,
            *(["chrF"] if chrf else []),
            f"against {baseline}",
            *(["p"] if significance else []),
            "published",
            "place, published",
        ]
    ]
    for row, own, published in zip(summary, ours, theirs):
        spread = "" if row["spread"] is None else f" ± {row['spread']:.2f}"
        cells.append(
            [
                row["row"],
                *([_listed(row["seeds"])] if several else []),
                f"{row['parameters']:,}",
                f"{row['updates']:,}",
                _duration(row["seconds"]),
                f"{row['mean']:.2f}{spread}",
                *([f"{row['chrf']:.2f}"] if chrf else []),
                "" if base is None or row is base else _difference(row, base, metric),
                *([_chance(row)] if significance else []),
                "" if row["published"] is None else f"{row['published']:.2f}",
                ", ".join(str(place) for place in (own, published) if place is not None),
            ]
        )
    return cells


def _seeds_differ(summary: Sequence[Mapping[str, Any]]) -> bool:
    return any(row["seeds"] != summary[0]["seeds"] for row in summary)


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _difference(row: Mapping[str, Any], base: Mapping[str, Any], metric: str) -> str:
    """The mean over the seeds that both have: others would compare luck."""
    differences = _differences(row, base, metric)
    return f"{statistics.mean(differences):+.2f}" if differences else ""


def _differences(row: Mapping[str, Any], base: Mapping[str, Any], metric: str) -> list[float]:
    of_base = {run["seed"]: run[metric] for run in base["runs"]}
    return [run[metric] - of_base[run["seed"]] for run in row["runs"] if run["seed"] in of_base]


def _chance(row: Mapping[str, Any]) -> str:
    if "p" not in row:
        return ""
    return DISAGREE if row["p"] is None else f"{row['p']:.3f}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """A table as GitHub writes it; figures to the right."""
    from tabulate import tabulate

    align = ["left"] + ["right"] * (len(cells[0]) - 1)
    return tabulate(cells[1:], headers=cells[0], tablefmt="github", colalign=align, disable_numparse=True)


def notes(summary: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader must know beside the table: seeds, signature, data, machine, versions, commit."""
    runs = [run for row in summary for run in row["runs"]]
    seeds = sorted({run["seed"] for run in runs})
    told = [f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {_listed(seeds)}: mean ± standard deviation"]
    if _seeds_differ(summary):
        common = common_seeds(summary)
        over = (
            f"over seed{'s' * (len(common) > 1)} {_listed(common)}, which all rows have"
            if common
            else "none: no seed is common"
        )
        told.append(f"places and order: {over}")
    for key, words in (
        ("signature", ""),
        ("chrf_signature", ""),
        ("data", "data "),
        ("test", "test sentences "),
        ("beam", "beam "),
        ("lenpen", "length penalty "),
        ("jobs", "runs side by side "),
        ("threads", "threads each "),
        ("machine", ""),
        ("commit", "commit "),
    ):
        values = sorted({str(run[key]) for run in runs if run.get(key) is not None})
        if values:
            told.append(words + " and ".join(values))
    own = sorted({" ".join(run.get("own_flags", [])) for run in runs} - {""})
    if own:
        told.append("flags besides the table's: " + " and ".join(f"`{flags}`" for flags in own))
    versions = sorted({", ".join(f"{name} {version}" for name, version in run["versions"].items()) for run in runs})
    told.append(" and ".join(versions))
    if any("p" in row for row in summary):
        told.append("p: paired bootstrap of BLEU, 1,000 samples, the largest over seeds")
    if any(row.get("p", 0) is None for row in summary):
        told.append(f"p {DISAGREE}: one seed gains, another loses")
    order = agreement(summary)
    if order:
        told.append(f"{order['same']} of {order['pairs']} pairs of rows stand in the paper's order")
    return told
