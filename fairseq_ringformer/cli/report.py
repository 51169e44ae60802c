"""Make tables and pictures of what ringformer study has found.

  ringformer report --results studies/quick/results.jsonl
  ringformer report --results a/results.jsonl b/results.jsonl --output report --grid table4

Prints a table of each grid in Markdown: parameters, score (mean and standard deviation over seeds), difference to the
baseline with its significance (sacreBLEU's paired bootstrap over the test sentences, 1,000 samples, of each seed, the
largest p of them, none where one seed gains and another loses; needs the runs' translations beside the results and the
references of --data), published score, places, and how many pairs of rows stand in the paper's order. --output also
writes report.md, report.json, and for each grid GRID_scores and GRID_curves as PNG and SVG.
"""

import argparse
from pathlib import Path
from typing import Any

from ..errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", nargs="+", required=True, metavar="FILE", help="results.jsonl of ringformer study")
    parser.add_argument("--grid", nargs="+", metavar="NAME", help="some grids alone; default: all that have results")
    parser.add_argument("--tables", metavar="FILE", help="YAML file of your own tables, as in ringformer study")
    parser.add_argument("--data", metavar="DIR", help="prepared data, for significance; default: the study's")
    parser.add_argument("--output", metavar="DIR", help="folder for files")


def run(args: argparse.Namespace) -> int:
    from ..analysis.counts.paper import PAPER, read_tables
    from ..analysis.study.results import read_results
    from ..text.prepared import PreparedData

    try:
        tables = read_tables(Path(args.tables or PAPER))
        results: list[dict[str, Any]] = []
        for path in map(Path, args.results):
            results += [{**entry, "file": path} for entry in read_results(path)]
        references = None if args.data is None else PreparedData.read(Path(args.data)).files("test")[1]
    except ValueError as error:
        raise UserError(str(error)) from None
    if not results:
        raise UserError(f"{', '.join(args.results)}: no results yet")
    found = list(dict.fromkeys(entry["grid"] for entry in results))
    for name in args.grid or ():
        if name not in found:
            raise UserError(f"--grid {name}: no results of it; there are results of {', '.join(found)}")
    chosen = args.grid or found
    for name in chosen:
        if name not in tables:
            whose = args.tables or "the paper"
            raise UserError(f"results of {name}, which is no table of {whose}: name its file with --tables")
    results = [entry for entry in results if entry["grid"] in chosen]
    _check_unique(results)
    if references is not None and all(tables[name].vision for name in chosen):
        raise UserError("--data is for the significance of translations: leave it out with image classifiers")
    output = None if args.output is None else _folder(args.output)
    sections = [
        _section(references, tables[name], [entry for entry in results if entry["grid"] == name], output)
        for name in tables
        if name in chosen
    ]
    text = "\n\n".join(section["text"] for section in sections)
    print(text)
    if output is not None:
        _write(output, text, sections)
    return 0


def _check_unique(results: list[dict[str, Any]]) -> None:
    seen: dict[tuple, Any] = {}
    for entry in results:
        place = entry["grid"], entry["row"], entry["seed"]
        if place in seen:
            raise UserError(
                f"two results of {entry['row']}, seed {entry['seed']} of {entry['grid']}, in "
                f"{' and '.join(dict.fromkeys((str(seen[place]), str(entry['file']))))}: report on one study at a time"
            )
        seen[place] = entry["file"]


def _folder(path: str) -> Path:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {path}: {error.strerror}") from None
    return Path(path)


def _section(references: Path | None, table: Any, results: list[dict[str, Any]], output: Any) -> dict[str, Any]:
    from ..analysis.study import report

    metric = "top1" if table.vision else "bleu"
    try:
        report.check_comparable(results)
    except ValueError as error:
        raise UserError(str(error)) from None
    summary = report.gather(table, results, metric)
    if not summary:
        raise UserError(f"results of {table.name} are of rows that it does not have: name its file with --tables")
    lacking = ""
    if not table.vision:
        lacking = report.add_significance(summary, table.baseline, references or _references(Path(results[0]["data"])))
    cells = report.table_rows(summary, table.baseline, metric)
    notes = report.notes(summary)
    lines = [f"### {table.caption}", "", report.markdown(cells), "", "; ".join(notes)]
    if lacking:
        lines += ["", f"({lacking}.)"]
    if output is not None:
        _draw(output, table, summary, metric)
    for row in summary:
        row["runs"] = [{key: value for key, value in run.items() if key != "file"} for run in row["runs"]]
    return {"grid": table.name, "text": "\n".join(lines), "rows": summary, "order": report.agreement(summary)}


def _references(data: Path) -> Any:
    """The references of prepared data, if they are there."""
    from ..text.prepared import PreparedData

    try:
        return PreparedData.read(data).files("test")[1]
    except ValueError:
        return None


def _draw(output: Path, table: Any, summary: list[dict[str, Any]], metric: str) -> None:
    from ..analysis.study.plots import draw_curves, draw_scores
    from .subjects import draw

    draw(draw_scores(summary, metric, table.caption), str(output / f"{table.name}_scores"))
    draw(draw_curves(summary, table.caption), str(output / f"{table.name}_curves"))


def _write(output: Path, text: str, sections: list[dict[str, Any]]) -> None:
    from .subjects import write_json

    (output / "report.md").write_text(text + "\n", encoding="utf-8")
    grids = [{key: value for key, value in section.items() if key != "text"} for section in sections]
    write_json({"grids": grids}, str(output / "report.json"))
