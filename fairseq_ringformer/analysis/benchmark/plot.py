"""The ratios of a benchmark as bars."""

from collections.abc import Iterable
from typing import Any

from .measure import Result
from .report import Outcome

# Height of a bar and the gap between groups, in bars; inches of a bar, and of what is above and below the bars.
BAR, GAP = 0.8, 0.6
INCHES, MARGIN = 0.3, 0.7


def draw_ratios(outcome: Outcome) -> Any:
    """Bars from the baseline's 1 to each ratio; speeds (more is better) above sizes (less is better).

    The axes are logarithmic, so that twice and half are equally far from 1; the thin lines are the middle half of the
    rounds' own ratios.

    Returns:
        a matplotlib figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    names = [candidate["name"] for candidate in outcome.candidates]
    shown = [
        result
        for result in outcome.results
        if result.ratio and result.candidate != names[0] and result.measure != "peak share"
    ]
    panels = [
        (title, _groups(result for result in shown if result.more_is_better is better))
        for title, better in (("speed: more is better", True), ("size: less is better", False))
    ]
    panels = [(title, groups) for title, groups in panels if groups]
    heights = [MARGIN + INCHES * sum(len(group) + GAP for group in groups.values()) for _, groups in panels]
    figure = Figure(figsize=(9, sum(heights) + 1), layout="constrained")
    axes = figure.subplots(len(panels) or 1, squeeze=False, height_ratios=heights or None)
    for axis, (title, groups) in zip(axes[:, 0], panels):
        _draw(axis, title, groups, names)
    bars = [Patch(color=_colour(name, names)) for name in names[1:]]
    figure.legend(bars, names[1:], loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    machine, settings = outcome.machine, outcome.settings
    figure.suptitle(
        f"ratios to {names[0]}: {machine['gpu'] or machine['processor']}, {settings['threads']} threads",
        fontsize="medium",
    )
    return figure


def _groups(results: Iterable[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(f"{result.measure}\n{result.setting}", []).append(result)
    return groups


def _colour(name: str, names: list[str]) -> str:
    return f"C{names.index(name) - 1}"


def _draw(axis, title: str, groups: dict[str, list[Result]], names: list[str]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    position, middles, ends = 0.0, [], [1.0]
    for group in groups.values():
        for number, result in enumerate(group):
            row, ratio = position + number, result.ratio
            low, high = result.spread or (ratio, ratio)
            axis.barh(row, ratio - 1, BAR, left=1, color=_colour(result.candidate, names))
            axis.plot([low, high], [row, row], color="black", linewidth=1)
            end, side = (max(ratio, high, 1), 1) if ratio >= 1 else (min(ratio, low, 1), -1)
            axis.annotate(
                f"{ratio:.2f}",
                (end, row),
                (4 * side, 0),
                textcoords="offset points",
                fontsize=8,
                va="center",
                ha="left" if side > 0 else "right",
            )
            ends += [ratio, low, high]
        middles.append(position + (len(group) - 1) / 2)
        position += len(group) + GAP
    axis.axvline(1, color="black", linewidth=1, linestyle="--")
    axis.set_xscale("log", base=2)
    # Room for the figures beside the bars, on both sides of 1.
    axis.set_xlim(min(min(ends) / 1.4, 0.8), max(max(ends) * 1.4, 1.25))
    axis.xaxis.set_major_locator(LogLocator(base=2, subs=(1.0, 1.5) if max(ends) < 4 else (1.0,)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_yticks(middles, list(groups), fontsize=8)
    axis.invert_yaxis()
    axis.set_title(title, loc="left", fontsize="medium")
    axis.spines[["top", "right"]].set_visible(False)
