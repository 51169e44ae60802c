"""Pictures of the analyses."""

import itertools
from collections.abc import Sequence
from typing import Any

# Inches of a cell of a heat map that has its value printed, and the fewest inches of a panel.
CELL, PANEL = 0.5, 3.2


def draw_cka(
    panels: dict[str, list[list[float]]],
    names: dict[str, tuple[list[str], list[str]]],
    models: tuple[str, str],
    title: str,
) -> Any:
    """A heat map for each side.

    Args:
        panels: by side, CKA with the first model's levels as rows.
        names: by side, the names of the levels of either model.
        models: their names.

    Returns:
        a matplotlib figure.
    """
    from matplotlib.figure import Figure

    sizes = [(len(rows), len(columns)) for rows, columns in names.values()]
    height = max(PANEL, CELL * max(rows for rows, _ in sizes))
    widths = [max(PANEL, CELL * columns) + 0.8 for _, columns in sizes]
    figure = Figure(figsize=(sum(widths) + 1, height + 1.1), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
    for axis, (side, values) in zip(axes, panels.items()):
        image = _heat_map(axis, values, *names[side], limits=(0, 1), colours="viridis")
        axis.set_ylabel(f"level of {models[0]}", parse_math=False)
        axis.set_xlabel(f"level of {models[1]}", parse_math=False)
        if len(panels) > 1:
            axis.set_title(side)
    figure.colorbar(image, ax=list(axes), label="CKA", fraction=0.05, pad=0.02)
    figure.suptitle(title, fontsize="medium", parse_math=False)
    return figure


def _heat_map(
    axis: Any,
    values: list[list[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    limits: tuple[float, float],
    colours: str,
    most: int = 99,
) -> Any:
    """Values as colours, and as numbers if there are at most so many in a row. NaN is grey."""
    from matplotlib import colormaps

    colour_map = colormaps[colours].with_extremes(bad="lightgrey")
    # Both axes count upwards, so that the diagonal of a model with itself rises.
    image = axis.imshow(values, origin="lower", vmin=limits[0], vmax=limits[1], cmap=colour_map, aspect="equal")
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    longest = max(len(rows), len(columns))
    for i, row in enumerate(values if longest <= most else ()):
        for j, value in enumerate(row):
            text = "–" if value != value else f"{round(value, 2) + 0.0:.2f}"  # no -0.00
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = value == value and 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            colour = "white" if dark else "black"
            axis.text(j, i, text, ha="center", va="center", fontsize=8 if longest <= 13 else 5.5, color=colour)
    return image


def draw_probe(panels: dict[str, dict[str, list[Any]]], levels: dict[str, list[str]], title: str) -> Any:
    """Accuracy by level with its interval, a panel for each side.

    Args:
        panels: by side and classifier, an :class:`~.probe.Accuracy` for each level.
        levels: by side, the names of the levels.

    Returns:
        a matplotlib figure.
    """
    from matplotlib.figure import Figure

    widths = [max(PANEL, CELL * len(levels[side]) + 0.8) for side in panels]
    figure = Figure(figsize=(sum(widths) + 1, PANEL + 0.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True, width_ratios=widths)[0]
    for axis, (side, panel) in zip(axes, panels.items()):
        places = range(len(levels[side]))
        for name, marker, shift in zip(panel, "os", (-0.06, 0.06)):  # side by side, so that both are seen
            values = [found.accuracy for found in panel[name]]
            reach = [[found.accuracy - found.low for found in panel[name]]]
            reach.append([found.high - found.accuracy for found in panel[name]])
            x = [place + shift for place in places]
            axis.errorbar(x, values, reach, marker=marker, markersize=4, capsize=2, linewidth=1, label=name)
        axis.axhline(0.5, color="grey", linestyle="--", linewidth=1, label="chance")
        axis.set_xticks(places, levels[side])
        axis.set_xlabel("level")
        axis.grid(axis="y", alpha=0.3)
        if len(panels) > 1:
            axis.set_title(side, fontsize="medium")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(min(low, 0.4), max(high, 1.02))
    axes[0].set_ylabel("accuracy on examples not seen")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
    figure.suptitle(title, fontsize="medium", parse_math=False)
    return figure


def draw_distances(models: dict[str, dict[str, dict[str, Any]]], unit: str, title: str) -> Any:
    """Mean attention distance by level, a dot for each head: a column of panels for each model, a row for each side.

    Args:
        models: by name and side, ``distances`` (levels, heads) and ``uniform``.
        unit: of the distances.

    Returns:
        a matplotlib figure.
    """
    from matplotlib.figure import Figure

    sides = list(dict.fromkeys(side for by_side in models.values() for side in by_side))
    widest = max(len(measured["distances"]) for by_side in models.values() for measured in by_side.values())
    width = max(3.4, 0.35 * widest + 1.2) * len(models) + 1.2
    figure = Figure(figsize=(width, 3.2 * len(sides) + 0.5), layout="constrained")
    axes = figure.subplots(len(sides), len(models), squeeze=False, sharey="row")
    handles: dict[str, Any] = {}
    for column, (name, by_side) in enumerate(models.items()):
        for row, side in enumerate(sides):
            axis = axes[row, column]
            _dots(axis, by_side[side]["distances"], by_side[side]["uniform"], handles)
            axis.set_title(name if len(sides) == 1 else f"{name}, {side}", fontsize="medium", parse_math=False)
            axis.set_xlabel("level")
            if column == 0:
                axis.set_ylabel(f"mean attention distance ({unit})")
    for row in axes:  # the models' scales are shared, and autoscaling ends once a limit is set
        row[0].set_ylim(bottom=0)
    figure.legend(handles.values(), handles.keys(), loc="outside right center", frameon=False, fontsize=8)
    figure.suptitle(title, fontsize="medium", parse_math=False)
    return figure


def _dots(axis: Any, distances: list[list[float]], uniform: float, handles: dict[str, Any]) -> None:
    from matplotlib import colormaps

    levels, heads = range(1, len(distances) + 1), len(distances[0])
    colours = colormaps["tab10"].colors
    if heads > len(colours):
        colours = colormaps["turbo"]([head / (heads - 1) for head in range(heads)])
    for head in range(heads):
        # Side by side, so that heads that reach equally far are all seen.
        shift = 0.3 * ((head + 0.5) / heads - 0.5)
        x, y = [level + shift for level in levels], [level[head] for level in distances]
        dots = axis.scatter(x, y, color=colours[head], s=28, zorder=3, edgecolor="white", linewidth=0.5)
        handles.setdefault(f"head {head + 1}", dots)
    means = [sum(level) / heads for level in distances]
    (line,) = axis.plot(levels, means, color="black", linewidth=1, zorder=2)
    dashed = axis.axhline(uniform, color="grey", linestyle="--", linewidth=1, zorder=1)
    handles.pop("mean of heads", None), handles.pop("uniform attention", None)  # at the end
    handles.update({"mean of heads": line, "uniform attention": dashed})
    axis.set_xticks(levels)
    axis.set_xlim(0.5, len(distances) + 0.5)
    axis.grid(axis="y", alpha=0.3)


def draw_signals(report: dict[str, dict[str, Any]], title: str) -> Any:
    """A row of panels for each side: ratios and effective ranks by level, and the levels' cosines of each part.

    Args:
        report: what :meth:`~.signal_report.SignalReport.result` returns.

    Returns:
        a matplotlib figure.
    """
    from matplotlib.figure import Figure

    most = max(len(parts) for parts in report.values())
    figure = Figure(figsize=(2 * 3.2 + 2.6 * most, 3.1 * len(report) + 0.4), layout="constrained")
    rows = figure.subfigures(len(report), 1, squeeze=False)[:, 0]
    for row, (side, parts) in zip(rows, report.items()):
        if len(report) > 1:
            row.suptitle(side, fontsize="medium", x=0.01, ha="left", weight="bold")
        axes = row.subplots(1, 2 + most, width_ratios=[1.3, 1.3] + [1] * most)
        for axis in axes[2 + len(parts) :]:
            axis.set_visible(False)
        _signal_lines(axes[0], axes[1], parts)
        for axis, (part, measured) in zip(axes[2:], parts.items()):
            names = [str(level) for level in range(1, len(measured.cosine) + 1)]
            image = _heat_map(axis, measured.cosine, names, names, limits=(-1, 1), colours="RdBu_r", most=8)
            axis.tick_params(labelsize=7)
            axis.set_xlabel("level", fontsize=8)
            axis.set_title(f"{part}: cosine between levels", fontsize="small")
        row.colorbar(image, ax=list(axes[2:]), fraction=0.04, pad=0.02, label="cosine")
    figure.suptitle(title, fontsize="medium", parse_math=False)
    return figure


def _signal_lines(ratios: Any, ranks: Any, parts: dict[str, Any]) -> None:
    limits = set()
    for (part, measured), marker in zip(parts.items(), itertools.cycle("osD^vP")):
        levels = range(1, len(measured.ratio) + 1)
        label = f"{part}: |M x| / |{measured.against}|"
        ratios.plot(levels, measured.ratio, marker=marker, markersize=4, label=label)
        ranks.plot(levels, measured.rank, marker=marker, markersize=4, label=part)
        limits.add(measured.rank_limit)
    for limit in limits:
        ranks.axhline(limit, color="grey", linestyle="--", linewidth=1)
    ratios.set_title("size of the signal", fontsize="small")
    ranks.set_title("effective rank of M (dashed: the most)", fontsize="small")
    for axis in (ratios, ranks):
        axis.set_xlabel("level")
        axis.set_xticks(levels)
        axis.set_ylim(0, axis.get_ylim()[1] * 1.15)
        axis.grid(axis="y", alpha=0.3)
        axis.legend(fontsize=6.5, frameon=False, ncols=2 if axis is ranks else 1)
