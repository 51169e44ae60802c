"""Pictures of a study: score against parameters, and validation loss over updates."""

from collections.abc import Mapping, Sequence
from typing import Any

from .results import LABELS


def draw_scores(summary: Sequence[Mapping[str, Any]], metric: str, title: str) -> Any:
    """A dot for each row: mean score against parameters, with a bar of one standard deviation where there are seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axis = figure.subplots()
    for row, colour in zip(summary, _colours(len(summary))):
        axis.errorbar(
            row["parameters"] / 1e6, row["mean"], yerr=row["spread"], fmt="o", color=colour, capsize=3, label=row["row"]
        )
    axis.set_xlabel("parameters (millions)")
    axis.set_ylabel(LABELS[metric] + ("" if metric == "bleu" else " accuracy (%)"))
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    figure.suptitle(title, fontsize="medium", parse_math=False)
    return figure


def draw_curves(summary: Sequence[Mapping[str, Any]], title: str) -> Any:
    """Validation loss by update: a line for each run, of one colour for each row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axis = figure.subplots()
    for row, colour in zip(summary, _colours(len(summary))):
        for run, style in zip(row["runs"], ("-", "--", ":", "-.") * len(row["runs"])):
            if run.get("curve"):
                label = row["row"] if run is row["runs"][0] else None
                axis.plot(*zip(*run["curve"]), style, color=colour, label=label, marker=".")
    axis.set_xlabel("updates")
    axis.set_ylabel("validation loss" + (" (bits a token)" if summary and "bleu" in summary[0]["runs"][0] else ""))
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    figure.suptitle(title, fontsize="medium", parse_math=False)
    return figure


def _colours(count: int) -> Sequence[Any]:
    from matplotlib import colormaps

    if count <= 10:
        return colormaps["tab10"].colors
    return colormaps["turbo"]([number / (count - 1) for number in range(count)])
