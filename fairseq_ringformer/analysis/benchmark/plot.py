"""The ratios of a benchmark as bars."""

from typing import Dict, List

from .measure import Result
from .report import Outcome

BAR, INCHES, MARGIN = 0.8, 0.3, 1.1


def draw_ratios(outcome: Outcome, path: str) -> None:
    """Write a PNG: speeds above, where longer is better, and sizes below, where shorter is; the baseline is the line at 1.

    The thin lines are the middle half of the rounds' own ratios.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [result for result in outcome.results if result.ratio is not None and result.measure != "peak share"]
    panels = [
        (title, [result for result in shown if result.more_is_better is better])
        for title, better in (("speed: longer is better", True), ("size: shorter is better", False))
    ]
    panels = [(title, results) for title, results in panels if results]
    names = [contender["name"] for contender in outcome.contenders]
    heights = [MARGIN + INCHES * _bars(results, names) for _, results in panels]
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(9, sum(heights) + 0.6), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axis, (title, results) in zip(axes[:, 0], panels):
        _draw(axis, title, results, names)
    axes[0, 0].legend(loc="lower right", frameon=False)
    machine, settings = outcome.machine, outcome.settings
    figure.suptitle(
        f"times {names[0]}: {machine['gpu'] or machine['processor']}, {settings['threads']} threads", fontsize="medium"
    )
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _groups(results: List[Result]) -> Dict[str, List[Result]]:
    groups: Dict[str, List[Result]] = {}
    for result in results:
        groups.setdefault(f"{result.measure}\n{result.setting}", []).append(result)
    return groups


def _bars(results: List[Result], names: List[str]) -> int:
    """Bars, and a gap for each group."""
    return sum(len(group) for group in _groups(results).values())


def _draw(axis, title: str, results: List[Result], names: List[str]) -> None:
    position, middles, labels = 0.0, [], []
    named = set()
    for label, group in _groups(results).items():
        compared = [result for result in group if result.contender != names[0]]
        for number, result in enumerate(compared):
            place = position + number
            spread = [[result.ratio - result.spread[0]], [result.spread[1] - result.ratio]] if result.spread else None
            if spread:  # the ratio of medians may lie outside the middle half of few rounds
                spread = [[max(0.0, side[0])] for side in spread]
            axis.barh(
                place, result.ratio, BAR, color=f"C{names.index(result.contender) - 1}", xerr=spread,
                error_kw={"linewidth": 1, "ecolor": "black"},
                label=None if result.contender in named else result.contender,
            )
            named.add(result.contender)
            end = max(result.ratio, result.spread[1] if result.spread else 0.0)
            axis.annotate(f"{result.ratio:.2f}", (end, place), (4, 0), textcoords="offset points", va="center", size=8)
        middles.append(position + (len(compared) - 1) / 2)
        labels.append(label)
        position += len(compared) + 0.6
    axis.axvline(1, color="black", linewidth=1, linestyle="--")
    axis.set_yticks(middles, labels, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_xlim(left=0)
    axis.set_title(title, loc="left", fontsize="medium")
    axis.spines[["top", "right"]].set_visible(False)
