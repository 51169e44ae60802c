"""A study's table in Markdown, and what a reader must know beside it."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from ...errors import UserError
from ...text.prepared import PreparedData
from ..counts.paper import Table
from ..output import save_figure
from .results import LABELS
from .summary import add_significance, agreement, check_comparable, common_seeds, differences, gather, ranks

DISAGREE = "±"  # in place of a p
Summary = Sequence[Mapping[str, Any]]


def section(
    table: Table, results: Sequence[Mapping[str, Any]], references: Path | None, pictures: Path | None
) -> dict[str, Any]:
    """The report on one table: ``grid``, ``text`` in Markdown, ``rows`` and ``order``.

    Args:
        references: of the test set; by default those of the study's data, if they are there.
        pictures: folder for them.

    Raises:
        UserError: if the results do not stand beside each other, or are of rows that it does not have.
    """
    metric = "top1" if table.vision else "bleu"
    check_comparable(results)
    summary = gather(table, results, metric)
    unknown = {result["row"] for result in results} - {row.name for row in table.rows}
    if unknown:
        raise UserError(f"{table.name} has no row {min(unknown)!r}: name the file of its table with --tables")
    lacking = ""
    if not table.vision:
        lacking = add_significance(summary, table.baseline, references or _references(results[0]))
    text = markdown(table_rows(summary, table.baseline, metric))
    lines = [f"### {table.caption}", "", text, "", "; ".join(notes(summary))]
    if lacking:
        lines += ["", f"({lacking}.)"]
    if pictures is not None:
        from .plots import draw_curves, draw_scores

        save_figure(str(pictures / f"{table.name}_scores"), draw_scores(summary, metric, table.caption))
        save_figure(str(pictures / f"{table.name}_curves"), draw_curves(summary, table.caption))
    for row in summary:
        row["runs"] = [{key: value for key, value in run.items() if key != "file"} for run in row["runs"]]
    return {"grid": table.name, "text": "\n".join(lines), "rows": summary, "order": agreement(summary)}


def _references(result: Mapping[str, Any]) -> Path | None:
    named = Path(result.get("references", ""))
    if named.is_file():
        return named
    try:
        return PreparedData.read(Path(result["data"])).files("test")[1]
    except ValueError:
        return None


def table_rows(summary: Summary, baseline: str, metric: str) -> list[list[str]]:
    """The cells of a table, a list for each row, headings first."""
    base = next((row for row in summary if row["row"] == baseline), None)
    columns = {
        "row": [row["row"] for row in summary],
        "seeds": [_listed(row["seeds"]) for row in summary],
        "parameters": [f"{row['parameters']:,}" for row in summary],
        "updates": [f"{row['updates']:,}" for row in summary],
        "training": [_duration(row["seconds"]) for row in summary],
        LABELS[metric]: [
            f"{row['mean']:.2f}" + ("" if row["spread"] is None else f" ± {row['spread']:.2f}") for row in summary
        ],
        "chrF": ["" if row["chrf"] is None else f"{row['chrf']:.2f}" for row in summary],
        f"against {baseline}": [_difference(row, base, metric) for row in summary],
        "p": [_p_value(row) for row in summary],
        "published": ["" if row["published"] is None else f"{row['published']:.2f}" for row in summary],
        "rank, published": [
            ", ".join(str(rank) for rank in pair if rank is not None)
            for pair in zip(ranks([row["compared"] for row in summary]), ranks([row["published"] for row in summary]))
        ],
    }
    if not _seeds_differ(summary):
        del columns["seeds"]
    for name in ("chrF", "p"):
        if not any(columns[name]):
            del columns[name]
    return [list(columns), *map(list, zip(*columns.values()))]


def _seeds_differ(summary: Summary) -> bool:
    return any(row["seeds"] != summary[0]["seeds"] for row in summary)


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _difference(row: Mapping[str, Any], base: Mapping[str, Any] | None, metric: str) -> str:
    """The mean over the seeds that both have: others would compare luck."""
    if base is None or row is base:
        return ""
    gains = differences(row, base, metric)
    return f"{statistics.mean(gains):+.2f}" if gains else ""


def _p_value(row: Mapping[str, Any]) -> str:
    if "p" not in row:
        return ""
    return DISAGREE if row["p"] is None else f"{row['p']:.3f}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """A table as GitHub writes it; figures to the right."""
    align = ["left"] + ["right"] * (len(cells[0]) - 1)
    return tabulate(cells[1:], headers=cells[0], tablefmt="github", colalign=align, disable_numparse=True)


def notes(summary: Summary) -> list[str]:
    """What a reader must know beside the table: seeds, signature, data, machine, versions, commit."""
    runs = [run for row in summary for run in row["runs"]]
    seeds = sorted({run["seed"] for run in runs})
    told = [f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {_listed(seeds)}: mean ± standard deviation"]
    if _seeds_differ(summary):
        common = common_seeds(summary)
        over = f"over seed{'s' * (len(common) > 1)} {_listed(common)}, which all rows have"
        told.append(f"ranks and order: {over if common else 'none: no seed is common'}")
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
    flags = sorted({" ".join(run.get("own_flags", [])) for run in runs} - {""})
    if flags:
        told.append("flags besides the table's: " + " and ".join(f"`{words}`" for words in flags))
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
