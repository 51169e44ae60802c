"""Train and score the rows of a table of the paper, or of your own, on any data set; safe to interrupt at any point.

  ringformer study --grid table4 --data data/debian_de_en_quick --budget 20m --output studies/quick
  ringformer study --grid table1_small --data data/debian_de_en_quick --updates 3000 --seeds 1 2 --jobs 2 --lr 2e-3
  ringformer study --grid table4 --data BIN_DIR --references test.en --sentencepiece-model spm.model --budget 20m
  ringformer study --grid table2 --data /data/imagenet_small --budget 12h
  ringformer report --results studies/quick/results.jsonl

Grids: table1, table1_small (its models at the size of table4), table2, table3, table4, rank (of the signals, d/64 to
full). Training settings are the paper's, warm-up in proportion; flags of fairseq-train (translation) or of ringformer
train-classifier (images) may follow and go to every run. The same command goes on where an earlier one was interrupted;
what is done stays. Results are lines of OUTPUT/results.jsonl.
"""

import argparse
import os
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

from ..errors import UserError, one_line
from ..machine import cores
from . import subwords
from .arguments import SEED, check_search, positive, refuse_flags, threads
from .errors import require_fairseq, require_timm
from .user_dir import for_fairseq

TAKES_MODEL_FLAGS = True
OF_DATA = ("references", *subwords.ARGUMENTS)
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> float:
    """An argparse type: 90s, 20m, 1.5h or 2d, in seconds."""
    match = re.fullmatch(r"(\d+\.?\d*)([smhd])", text)
    if not match or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text}: write 90s, 20m, 1.5h or 2d")
    return float(match[1]) * UNITS[match[2]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what")
    what.add_argument("--grid", required=True, metavar="NAME", help="table to train, table4 for one")
    what.add_argument("--tables", metavar="FILE", help="YAML file of your own tables; default: the paper's")
    what.add_argument("--rows", nargs="+", metavar="ROW", help="some rows alone, by name; default: all")
    what.add_argument("--seeds", nargs="+", type=SEED, default=[1], metavar="N", help="default: 1")
    what.add_argument(
        "--data",
        required=True,
        metavar="DIR",
        help="what a recipe's prepare.sh wrote, or fairseq-preprocess with --references, or a folder of images",
    )
    what.add_argument(
        "--references", metavar="FILE", help="natural text of the test set in the target language, for other data"
    )
    subwords.add_arguments(parser)
    length = parser.add_argument_group("length").add_mutually_exclusive_group()
    length.add_argument(
        "--budget",
        type=duration,
        metavar="TIME",
        help="of training, for each run: 90s, 20m, 1.5h; speeds are measured first (default: 20m)",
    )
    length.add_argument("--updates", type=positive, metavar="N", help="of every run, instead of a budget")
    parser.add_argument(
        "--equal",
        choices=("updates", "time"),
        help="with --budget: as many updates for all rows as the slowest of them can do, or for each its own (default: "
        "updates)",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--output", default="studies", metavar="DIR", help="default: studies")
    how.add_argument("--jobs", type=threads, metavar="N", help="runs side by side; default: one, or one for each GPU")
    how.add_argument("--threads", type=threads, metavar="N", help="of each run; default: all cores, divided among them")
    how.add_argument("--beam", type=positive, metavar="N", help="of translation (5)")
    how.add_argument("--lenpen", type=float, metavar="X", help="length penalty of translation (1)")


def run(args: argparse.Namespace) -> int:
    from .._fairseq import quiet
    from ..analysis.counts.paper import PAPER, read_tables

    tables = read_tables(PAPER if args.tables is None else Path(args.tables))
    if args.grid not in tables:
        raise UserError(f"--grid {args.grid}: there is none; choose one of {', '.join(tables)}")
    table = tables[args.grid]
    (require_timm if table.vision else require_fairseq)()
    rows = _rows(table, args.rows)
    with quiet():
        try:
            study = _study(args, table, rows)
        except OSError as error:
            raise UserError(one_line(error)) from None
    return _run(study, [] if args.tables is None else ["--tables", args.tables])


def _run(study: Any, tables: list[str]) -> int:
    from ..analysis.study.display import Display
    from ..analysis.study.results import RESULTS

    # A closed terminal or a batch system's end is an interruption, too, unless nohup says otherwise.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:
            signal.signal(ending, _interrupt)
    try:
        complaints = study.run(Display())
    except OSError as error:
        raise UserError(one_line(error)) from None
    except KeyboardInterrupt:
        print("ringformer study: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    for complaint in complaints:
        print(f"ringformer study: {complaint}", file=sys.stderr)
    results = study.output / RESULTS
    if results.exists():
        report = shlex.join(["ringformer", "report", "--results", str(results), *tables])
        print(f"results: {results}; {report} makes tables and pictures of them")
    return 1 if complaints else 0


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _rows(table: Any, names: list[str]) -> list[Any]:
    known = {row.name: row for row in table.rows}
    for name in names or ():
        if name not in known:
            raise UserError(f"--rows {name!r}: {table.name} has none of that name; rows: {', '.join(known)}")
    return [row for row in table.rows if not names or row.name in names]


def _binarised(args: argparse.Namespace) -> Any:
    """The data of --data, with --references and sub-words by flag or recipe."""
    from fairseq.data.data_utils import infer_language_pair

    from ..analysis.study.translation import BinarisedData

    if not os.path.isdir(args.data):
        raise UserError(f"{args.data}: no such data folder")
    languages = infer_language_pair(args.data)
    if not all(languages):
        raise UserError(f"{args.data}: holds no data of fairseq-preprocess")
    folder = Path(args.data)
    cut = subwords.find_subwords(args, args.data)
    return BinarisedData(folder, languages, cut, folder, folder, {}, Path(args.references).absolute())


def _study(args: argparse.Namespace, table: Any, rows: list[Any]) -> Any:
    import torch

    from ..analysis.study.provenance import provenance
    from ..analysis.study.queue import Study
    from ..analysis.study.speeds import Length
    from ..analysis.study.translation import Translation
    from ..analysis.study.vision import Vision

    if len(set(args.seeds)) < len(args.seeds):
        raise UserError("--seeds names a seed twice")
    if table.vision:
        if args.beam is not None or args.lenpen is not None:
            raise UserError(f"{table.name} classifies images: --beam and --lenpen are for translation")
        refuse_flags(args, OF_DATA, "is for translation")
        kind = Vision(Path(args.data), table, args.model_flags, args.user_dirs)
    else:
        args.lenpen = 1.0 if args.lenpen is None else args.lenpen
        check_search(args)
        if args.references is None:
            refuse_flags(args, subwords.ARGUMENTS, "is for data that no recipe made: add --references FILE")
        data = Path(args.data) if args.references is None else _binarised(args)
        user_dir = for_fairseq(args.user_dirs)
        kind = Translation(data, table, args.model_flags, args.beam or 5, args.lenpen, user_dir)
    kind.check(rows)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    gpus = [name for name in visible if name] or [str(number) for number in range(torch.cuda.device_count())]
    gpus = gpus if torch.cuda.is_available() else []
    jobs = args.jobs or max(1, len(gpus))
    threads = args.threads or max(1, cores() // jobs)
    if args.updates and args.equal:
        raise UserError("--equal says what a --budget is divided by: leave it out with --updates")
    budget = None if args.updates else args.budget or duration("20m")
    length = Length(args.updates, budget, args.equal or "updates")
    machine = provenance(gpus, cores())
    return Study(Path(args.output), table, rows, args.seeds, kind, length, jobs, threads, machine, gpus)
