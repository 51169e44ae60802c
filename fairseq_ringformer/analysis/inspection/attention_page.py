"""The page that :mod:`.attention_maps` fills: all in one file, nothing is loaded from elsewhere."""

PAGE = r"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>@TITLE@</title>
<style>
body { font: 14px/1.4 sans-serif; margin: 1.5em; color: #222; }
h1 { font-size: 1.2em; }
dl { display: grid; grid-template-columns: max-content auto; gap: 0 1em; }
dt { color: #777; }
dd { margin: 0; }
#controls { margin: 1em 0; }
#controls label { margin-right: 1.5em; }
#told { height: 1.5em; font-family: monospace; white-space: pre; }
#grid { border-spacing: 8px; }
#grid th { color: #777; font-weight: normal; }
#grid canvas { cursor: pointer; }
canvas { image-rendering: pixelated; border: 1px solid #ddd; display: block; }
.over { position: relative; }
.over img { display: block; image-rendering: pixelated; }
.over canvas { position: absolute; left: 0; top: 0; border: 0; }
#one td { width: 20px; min-width: 20px; height: 20px; padding: 0; }
#one td:hover { outline: 2px solid #d33; }
#one th { color: #777; font: 12px monospace; }
#one th.row { text-align: right; padding-right: 5px; white-space: nowrap; }
#one th.column { vertical-align: bottom; padding: 0; }
#one th.column span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; }
#one { border-spacing: 1px; background: #eee; }
#one th, #one tr:first-child td { background: #fff; }
</style>
</head>
<body>
<h1>@TITLE@</h1>
<dl>
@ABOUT@
</dl>
<noscript>The maps need JavaScript; the picture beside this page does not.</noscript>
<div id="controls"></div>
<div id="told"></div>
<div id="view"></div>
<script type="application/json" id="data">@DATA@</script>
<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
for (const part of data.parts) {
  part.bytes = Uint8Array.from(atob(part.weights), (c) => c.charCodeAt(0));
}
const view = document.getElementById("view");
const told = document.getElementById("told");
const state = { part: 0, level: "all", head: "all" };

function make(name, parent, text) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  parent.appendChild(element);
  return element;
}

// Between 0 and 1; of images as a share of the map's largest weight.
function weight(part, level, head, row, column) {
  const [, heads, rows, columns] = part.shape;
  return part.bytes[((level * heads + head) * rows + row) * columns + column] / 255;
}

function colour(value) {
  const strength = Math.sqrt(value);
  return [255, 255, 255].map((full, i) => Math.round(full - strength * (full - [8, 48, 107][i])));
}

function heat(value) {
  return [Math.round(255 * Math.min(1, 1.6 * value)), Math.round(255 * value * value), Math.round(120 * (1 - value))];
}

function drawMap(canvas, part, level, head) {
  const [, , rows, columns] = part.shape;
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const value = weight(part, level, head, i, j);
      const rgb = data.kind === "image" ? heat(value) : colour(value);
      pixels.data.set([...rgb, data.kind === "image" ? 165 : 255], 4 * (i * columns + j));
    }
  }
  context.putImageData(pixels, 0, 0);
}

function tell(text) { told.textContent = text; }

// The image under the map, `width` pixels wide.
function over(parent, part, level, head, width) {
  const height = Math.round(width * data.height / data.width);
  const box = make("div", parent);
  box.className = "over";
  box.style.width = width + "px";
  box.style.height = height + "px";
  const picture = make("img", box);
  picture.src = data.picture;
  const canvas = make("canvas", box);
  drawMap(canvas, part, level, head);
  for (const element of [picture, canvas]) {
    element.style.width = width + "px";
    element.style.height = height + "px";
  }
  canvas.addEventListener("mousemove", (event) => {
    const [, , rows, columns] = part.shape;
    const row = Math.min(rows - 1, Math.max(0, Math.floor(event.offsetY / height * rows)));
    const column = Math.min(columns - 1, Math.max(0, Math.floor(event.offsetX / width * columns)));
    const value = weight(part, level, head, row, column) * part.largest[level][head];
    tell(`level ${part.levels[level]}, head ${head + 1}, patch ${row + 1}, ${column + 1}: ${value.toFixed(3)}`);
  });
  return canvas;
}

function overview(part, levels, heads) {
  const table = make("table", view);
  table.id = "grid";
  const top = make("tr", table);
  make("th", top);
  for (const head of heads) make("th", top, `head ${head + 1}`);
  for (const level of levels) {
    const line = make("tr", table);
    make("th", line, `level ${part.levels[level]}`);
    for (const head of heads) {
      const cell = make("td", line);
      let canvas;
      if (data.kind === "image") {
        canvas = over(cell, part, level, head, 120);
      } else {
        canvas = make("canvas", cell);
        drawMap(canvas, part, level, head);
        const scale = Math.max(2, Math.floor(120 / Math.max(part.shape[2], part.shape[3])));
        canvas.style.width = part.shape[3] * scale + "px";
        canvas.style.height = part.shape[2] * scale + "px";
      }
      canvas.addEventListener("click", () => { state.level = level; state.head = head; show(); });
    }
  }
}

function single(part, level, head) {
  if (data.kind === "image") {
    over(view, part, level, head, 480);
    return;
  }
  const table = make("table", view);
  table.id = "one";
  const top = make("tr", table);
  make("td", top);
  for (const name of part.columns) {
    const cell = make("th", top);
    cell.className = "column";
    make("span", cell, name);
  }
  part.rows.forEach((name, i) => {
    const line = make("tr", table);
    make("th", line, name).className = "row";
    part.columns.forEach((other, j) => {
      const value = weight(part, level, head, i, j);
      const cell = make("td", line);
      cell.style.background = `rgb(${colour(value)})`;
      cell.title = `${name} → ${other}: ${value.toFixed(3)}`;
      cell.addEventListener("mouseenter", () => tell(cell.title));
    });
  });
}

function choice(controls, label, name, values) {
  const own = make("label", controls, label + " ");
  const select = make("select", own);
  for (const [value, text] of values) {
    const option = make("option", select, text);
    option.value = value;
    option.selected = String(state[name]) === String(value);
  }
  select.addEventListener("change", () => {
    state[name] = select.value === "all" ? "all" : Number(select.value);
    if (name === "part") state.level = state.head = "all"; // another part may have others
    show();
  });
}

function show() {
  const controls = document.getElementById("controls");
  controls.textContent = view.textContent = "";
  tell("");
  const part = data.parts[state.part];
  const levels = part.levels.map((_, level) => level);
  const heads = Array.from({ length: part.shape[1] }, (_, head) => head);
  if (data.parts.length > 1) choice(controls, "attention", "part", data.parts.map((own, i) => [i, own.name]));
  choice(controls, "level", "level", [["all", "all"], ...levels.map((level) => [level, part.levels[level]])]);
  choice(controls, "head", "head", [["all", "all"], ...heads.map((head) => [head, head + 1])]);
  if (state.level !== "all" && state.head !== "all") {
    single(part, state.level, state.head);
  } else {
    overview(
      part, state.level === "all" ? levels : [state.level], state.head === "all" ? heads : [state.head]
    );
  }
}

show();
</script>
</body>
</html>
"""
