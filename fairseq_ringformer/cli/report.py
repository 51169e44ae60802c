"""Make tables and pictures of what ringformer study has found.

  ringformer report --results studies/quick/results.jsonl
  ringformer report --results a/results.jsonl b/results.jsonl --output report --grid table4

Prints a table of each grid in Markdown: parameters, score (mean and standard deviation over seeds), difference to the
baseline with its significance (sacreBLEU's paired bootstrap over the test sentences, 1,000 samples, of each seed, the
largest p of them, none where one seed gains and another loses; needs the runs' translations beside the results and the
references of --data), published score, ranks, and how many pairs of rows stand in the paper's order. --output also
writes report.md, report.json, and for each grid GRID_scores and GRID_curves as PNG and SVG.
"""

import argparse
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..extras import require
from ..files import write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", nargs="+", required=True, metavar="FILE", help="results.jsonl of ringformer study")
    parser.add_argument("--grid", nargs="+", metavar="NAME", help="some grids alone; default: all that have results")
    parser.add_argument("--tables", metavar="FILE", help="YAML file of your own tables, as in ringformer study")
    parser.add_argument("--data", metavar="DIR", help="prepared data, for significance; default: the study's")
    parser.add_argument("--output", metavar="DIR", help="folder for files")


def run(args: argparse.Namespace) -> int:
    from ..analysis.counts.paper import PAPER, read_tables
    from ..analysis.output import write_json
    from ..analysis.study.report import section
    from ..analysis.study.summary import check_unique
    from ..text.prepared import PreparedData

    tables = read_tables(PAPER if args.tables is None else Path(args.tables))
    results = _results(args)
    chosen = list(dict.fromkeys(entry["grid"] for entry in results))
    for name in chosen:
        if name not in tables:
            whose = args.tables or "the paper"
            raise UserError(f"results of {name}, which is no table of {whose}: name its file with --tables")
    check_unique(results)
    references = None if args.data is None else PreparedData.read(Path(args.data)).files("test")[1]
    if references is not None and all(tables[name].vision for name in chosen):
        raise UserError("--data is for the significance of translations: leave it out with image classifiers")
    if args.output is not None:
        require("matplotlib")
    output = None if args.output is None else _folder(args.output)
    sections = [
        section(table, [entry for entry in results if entry["grid"] == name], references, output)
        for name, table in tables.items()
        if name in chosen
    ]
    text = "\n\n".join(section.pop("text") for section in sections)
    print(text)
    if output is not None:
        write_text(output / "report.md", text + "\n")
        write_json(str(output / "report.json"), {"grids": sections})
    return 0


def _results(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The results of --results and --grid, each with the ``file`` that it is from."""
    from ..analysis.study.results import read_results

    results = [{**entry, "file": path} for path in map(Path, args.results) for entry in read_results(path)]
    if not results:
        raise UserError(f"{', '.join(args.results)}: no results yet")
    grids = dict.fromkeys(entry["grid"] for entry in results)
    for name in args.grid or ():
        if name not in grids:
            raise UserError(f"--grid {name}: no results of it; there are results of {', '.join(grids)}")
    return [entry for entry in results if entry["grid"] in (args.grid or grids)]


def _folder(path: str) -> Path:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {path}: {error.strerror}") from None
    return Path(path)
