import json
import shutil
import subprocess

import numpy
import pytest

from fairseq_ringformer.analysis.inspection.attention_maps import (
    Maps,
    PictureMaps,
    draw_picture,
    draw_sentence,
    picture_page,
    sentence_page,
)
from tests.analysis.inspection.pages import Page

SOURCE, TARGET = ["▁eins", "</script>", "$x$", "</s>"], ["</s>", "▁one", "&"]


def maps(name, rows, columns, levels=(1, 2), heads=3, seed=0):
    weights = numpy.random.default_rng(seed).random((len(levels), heads, len(rows), len(columns)))
    return Maps(name, list(levels), rows, columns, weights / weights.sum(-1, keepdims=True))


@pytest.fixture
def parts():
    """A decoder that is deeper than its encoder."""
    return [maps("encoder", SOURCE, SOURCE), maps("cross", TARGET, SOURCE, levels=(1, 2, 4), seed=1)]


@pytest.fixture
def picture():
    random = numpy.random.default_rng(2)
    weights = random.random((2, 3, 4, 5))
    weights /= weights.sum((2, 3), keepdims=True)
    return PictureMaps([1, 3], random.integers(0, 256, (16, 20, 3), dtype=numpy.uint8), weights)


def written(text, folder):
    (folder / "x.html").write_text(text, encoding="utf-8")
    return Page(folder / "x.html")


def test_a_page_of_a_sentence(parts, tmp_path):
    text = sentence_page(parts, "a < @DATA@", [("source", "<i>"), ("target", "&amp;")])
    page = written(text, tmp_path)
    assert page.loaded == [] and "http" not in page.scripts["code"]
    assert page.texts.count("a < @DATA@") == 2  # title and heading, as they were given
    assert {"source", "<i>", "target", "&amp;"} <= set(page.texts)
    for number, part in enumerate(parts):
        found = page.data["parts"][number]
        assert (found["rows"], found["columns"], found["levels"]) == (part.rows, part.columns, part.levels)
        assert numpy.abs(page.weights(number) - part.weights).max() <= 0.5 / 255 + 1e-9


def test_a_page_of_a_picture(picture, tmp_path):
    page = written(picture_page(picture, "title", []), tmp_path)
    assert page.loaded == [] and page.data["picture"].startswith("data:image/png;base64,")
    largest = numpy.array(page.data["parts"][0]["largest"])
    assert numpy.allclose(largest, picture.weights.max((2, 3)))
    assert numpy.abs(page.weights(0) * largest[:, :, None, None] - picture.weights).max() <= 0.5 / 255 * largest.max()


def test_pictures(parts, picture, tmp_path):
    figure = draw_sentence(parts, "title")
    first, second = figure.axes[:2]
    assert [text.get_text() for text in first.get_yticklabels()] == ["▁eins", "</script>", "$x$", "</s>"] * 2
    assert [text.get_text() for text in second.texts] == ["head 1", "head 2", "head 3", "level 1", "level 2", "level 4"]
    assert len(second.images) == 9 and second.images[4].get_array().tolist() == parts[1].weights[1, 1].tolist()
    assert not any(text.get_parse_math() for text in [*first.get_xticklabels(), *first.get_yticklabels()])
    long = ["x"] * 40
    figure.savefig(tmp_path / "x.png", dpi=50)
    assert draw_sentence([maps("encoder", long, long)], "title").axes[0].get_xticklabels() == []
    figure = draw_picture(picture, "title")
    assert len(figure.axes) == 1 + 2 * 3 and figure.axes[1].get_title() == "head 1"
    assert [axis.get_ylabel() for axis in figure.axes[1::3]] == ["level 1", "level 3"]
    figure.savefig(tmp_path / "y.png", dpi=50)


# As much of a browser as the page uses: elements with children, attributes and listeners.
BROWSER = """
class Element {
  constructor(name) { Object.assign(this, {name, children: [], style: {}, listeners: {}, own: ""}); }
  appendChild(child) { this.children.push(child); }
  addEventListener(kind, call) { this.listeners[kind] = call; }
  get textContent() { return this.own; }
  set textContent(text) { this.own = text; this.children = []; }
  getContext() { return {createImageData: (w, h) => ({data: new Uint8ClampedArray(4 * w * h)}),
                         putImageData: (pixels) => { this.pixels = Array.from(pixels.data); }}; }
  all(name) { return [...(this.name === name ? [this] : []), ...this.children.flatMap((child) => child.all(name))]; }
}
const byId = {};
for (const id of ["data", "view", "told", "controls"]) byId[id] = new Element(id);
byId.data.own = require("fs").readFileSync(process.argv[1], "utf-8");
global.document = {getElementById: (id) => byId[id], createElement: (name) => new Element(name)};
"""
# Looks at everything, opens the second map, and then chooses something else.
STEPS = """
const seen = {maps: byId.view.all("canvas").length, first: byId.view.all("canvas")[0].pixels,
              heads: byId.view.all("th").map((own) => own.own)};
byId.view.all("canvas")[1].listeners.click();
seen.cells = byId.view.all("td").filter((own) => own.title).map((own) => own.title);
for (const canvas of byId.view.all("canvas")) canvas.listeners.mousemove({offsetX: 479, offsetY: 1});
seen.told = byId.told.own;
const selects = byId.controls.all("select");
seen.selects = selects.length;
selects[0].value = selects.length > 2 ? "1" : "all";
selects[0].listeners.change();
seen.after = byId.view.all("canvas").length;
console.log(JSON.stringify(seen));
"""


def run_page(page, folder):
    (folder / "data.json").write_text(page.scripts["data"], encoding="utf-8")
    script = BROWSER + page.scripts["code"] + STEPS
    done = subprocess.run(["node", "-e", script, str(folder / "data.json")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node runs the page's script")


@needs_node
def test_the_script_of_a_sentence(parts, tmp_path):
    page = written(sentence_page(parts, "title", []), tmp_path)
    seen = run_page(page, tmp_path)
    weights = page.weights(0)
    assert seen["maps"] == 2 * 3 and seen["heads"] == ["", "head 1", "head 2", "head 3", "level 1", "level 2"]
    blue = numpy.array(seen["first"]).reshape(4, 4, 4)
    assert numpy.abs(blue[:, :, 0] - (255 - 247 * weights[0, 0] ** 0.5)).max() <= 0.5 and (blue[:, :, 3] == 255).all()
    assert seen["cells"] == [
        f"{row} → {column}: {weights[0, 1, i, j]:.3f}"
        for i, row in enumerate(SOURCE)
        for j, column in enumerate(SOURCE)
    ]
    assert seen["selects"] == 3 and seen["after"] == 3 * 3  # all maps of the other part


@needs_node
def test_the_script_of_a_picture(picture, tmp_path):
    page = written(picture_page(picture, "title", []), tmp_path)
    seen = run_page(page, tmp_path)
    assert seen["maps"] == 2 * 3 and seen["selects"] == 2 and seen["cells"] == []
    label, _, value = seen["told"].rpartition(": ")
    assert label == "level 1, head 2, patch 1, 5"
    assert float(value) == pytest.approx(picture.weights[0, 1, 0, 4], abs=1e-3)
    assert seen["after"] == 2  # this head at all levels
