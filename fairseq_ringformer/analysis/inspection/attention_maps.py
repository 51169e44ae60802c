"""The attention of one sentence or image by level and head: as a picture, and as a page that needs nothing else."""

import base64
import html
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

# All in one file, nothing is loaded from elsewhere. @TITLE@, @ABOUT@ and @DATA@ are filled in.
PAGE = Path(__file__).with_name("attention_page.html")
# Inches: the least side of a map; of a token that has its name written beside it; between maps, in tokens.
LEAST, NAMED, GAP = 1.0, 0.115, 1.5
# So many tokens have their names in the picture; the page has all names.
MOST_NAMED = 26
# Square roots bring out small weights; the colour bar says so by its ticks.
GAMMA = 0.5


class Maps(NamedTuple):
    """Attention of one kind.

    `weights` `(levels, heads, rows, columns)`, of `levels`, counted from 1; `rows` attend to `columns`, named by the
    tokens there.
    """

    name: str
    levels: list[int]
    rows: list[str]
    columns: list[str]
    weights: NDArray


class PictureMaps(NamedTuple):
    """What the class token of an image attends to.

    `picture` `(height, width, 3)` as the model sees it, in bytes; `weights` `(levels, heads, rows, columns)` over its
    patches, of `levels`, counted from 1; they sum to 1 for each head.
    """

    levels: list[int]
    picture: NDArray
    weights: NDArray


def draw_sentence(parts: Sequence[Maps], title: str) -> Any:
    """A grid of maps for each part: a row for each level, a column for each head.

    Returns:
        a matplotlib figure.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    scales = [_scale(part) for part in parts]
    sizes = []
    for part, scale in zip(parts, scales):
        count, heads, rows, columns = part.weights.shape
        sizes.append((scale * (heads * (columns + GAP)), scale * (count * (rows + GAP))))
    figure = Figure(
        figsize=(max(width for width, _ in sizes) + 2.2, sum(height + 1.1 for _, height in sizes) + 0.5),
        layout="constrained",
    )
    axes = figure.subplots(len(parts), 1, squeeze=False, height_ratios=[height + 0.8 for _, height in sizes])[:, 0]
    for axis, part in zip(axes, parts):
        image = _grid(axis, part, PowerNorm(GAMMA, vmin=0, vmax=1))
    figure.colorbar(image, ax=list(axes), label="attention weight", shrink=min(1, 3 / figure.get_figheight()), pad=0.01)
    figure.suptitle(title, fontsize="medium", wrap=True, parse_math=False)
    return figure


def _scale(part: Maps) -> float:
    """Inches of a token."""
    longest = max(part.weights.shape[2:])
    return max(NAMED, LEAST / longest) if longest <= MOST_NAMED else max(0.02, NAMED * MOST_NAMED / longest)


def _grid(axis: Any, part: Maps, norm: Any) -> Any:
    """All maps of a part side by side on one axis."""
    count, heads, rows, columns = part.weights.shape
    for number in range(count):
        for head in range(heads):
            left, top = head * (columns + GAP), number * (rows + GAP)
            extent = (left, left + columns, top + rows, top)
            image = axis.imshow(
                part.weights[number, head], extent=extent, cmap="Blues", norm=norm, interpolation="nearest"
            )
            axis.plot(
                [left, left + columns, left + columns, left, left],
                [top, top, top + rows, top + rows, top],
                color="lightgrey",
                linewidth=0.5,
            )
    axis.set_xlim(-0.2, heads * (columns + GAP) - GAP + 0.2)
    axis.set_ylim(count * (rows + GAP) - GAP + 0.2, -0.2)
    named = max(rows, columns) <= MOST_NAMED
    for head in range(heads):
        axis.text(head * (columns + GAP) + columns / 2, -0.4, f"head {head + 1}", ha="center", va="bottom", fontsize=7)
    for number, level in enumerate(part.levels):
        right, middle = heads * (columns + GAP) - GAP + 0.5, number * (rows + GAP) + rows / 2
        axis.text(right, middle, f"level {level}", rotation=270, ha="left", va="center", fontsize=7)
    style = {"fontsize": 5.5, "color": "grey", "parse_math": False}  # dollars are dollars
    axis.set_yticks(
        [number * (rows + GAP) + row + 0.5 for number in range(count) for row in range(rows)] if named else [],
        part.rows * count if named else [],
        **style,
    )
    axis.set_xticks(
        [head * (columns + GAP) + column + 0.5 for head in range(heads) for column in range(columns)] if named else [],
        part.columns * heads if named else [],
        rotation=90,
        **style,
    )
    axis.tick_params(length=0, pad=1)
    axis.spines[:].set_visible(False)
    axis.set_anchor("NW")
    axis.set_title(part.name, loc="left", fontsize="small", pad=14)
    return image


def draw_picture(maps: PictureMaps, title: str) -> Any:
    """The image, and for each level (rows) and head (columns) what its class token attends to, laid over it.

    Each map has its own scale, up to its largest weight.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    count, heads, rows, columns = maps.weights.shape
    height, width = maps.picture.shape[:2]
    shape = height / width
    figure = Figure(figsize=(1.25 * (heads + 1) + 1.2, 1.25 * shape * count + 0.9), layout="constrained")
    first, grid = figure.subfigures(1, 2, width_ratios=[1.2, heads])
    axis = first.subplots()
    axis.imshow(maps.picture)
    axis.set_title("image", fontsize=7)
    axis.set_axis_off()
    axes = grid.subplots(count, heads, squeeze=False)
    grey = maps.picture.mean(axis=2) / 255
    for number, level in enumerate(maps.levels):
        for head in range(heads):
            weights, axis = maps.weights[number, head], axes[number, head]
            axis.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=(0, columns, rows, 0), aspect="auto")
            axis.imshow(
                weights / weights.max(),
                cmap=colormaps["inferno"],
                vmin=0,
                vmax=1,
                alpha=0.65,
                extent=(0, columns, rows, 0),
                aspect="auto",
                interpolation="nearest",
            )
            axis.set_box_aspect(shape)
            axis.set_xticks([])
            axis.set_yticks([])
            if number == 0:
                axis.set_title(f"head {head + 1}", fontsize=7)
        axes[number, 0].set_ylabel(f"level {level}", fontsize=7)
    figure.suptitle(title, fontsize="small", wrap=True, parse_math=False)
    return figure


def sentence_page(parts: Sequence[Maps], title: str, lines: Sequence[tuple[str, str]]) -> str:
    """A page of HTML with all maps of a sentence.

    Args:
        lines: what to say above the maps, as pairs of a word and a text.
    """
    data = [
        {"name": part.name, "levels": part.levels, "rows": part.rows, "columns": part.columns, **_packed(part.weights)}
        for part in parts
    ]
    return _page(title, lines, {"kind": "text", "parts": data})


def picture_page(maps: PictureMaps, title: str, lines: Sequence[tuple[str, str]]) -> str:
    """A page of HTML with the image under its maps."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(maps.picture).save(stream, "PNG")
    picture = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
    largest = maps.weights.max(axis=(2, 3), keepdims=True)
    part = {"name": "class token", "levels": maps.levels, "largest": largest[:, :, 0, 0].tolist()}
    part.update(_packed(maps.weights / largest))
    sizes = {"height": maps.picture.shape[0], "width": maps.picture.shape[1]}
    return _page(title, lines, {"kind": "image", "picture": picture, **sizes, "parts": [part]})


def _packed(weights: NDArray) -> dict[str, Any]:
    """Weights from 0 to 1 as bytes, in steps of 1/255, in base64; `shape` is (levels, heads, rows, columns)."""
    steps = numpy.round(numpy.clip(weights, 0, 1) * 255).astype(numpy.uint8)
    return {"shape": list(weights.shape), "weights": base64.b64encode(steps.tobytes()).decode()}


def _page(title: str, lines: Sequence[tuple[str, str]], data: dict[str, Any]) -> str:
    about = "\n".join(f"<dt>{html.escape(word)}</dt><dd>{html.escape(text)}</dd>" for word, text in lines)
    # Nothing in the data may end the element that it stands in.
    packed = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    texts = {"TITLE": html.escape(title), "ABOUT": about, "DATA": packed}
    return re.sub("@(TITLE|ABOUT|DATA)@", lambda mark: texts[mark[1]], PAGE.read_text(encoding="utf-8"))
