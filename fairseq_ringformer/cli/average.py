"""Average the weights of several checkpoints of one run into a checkpoint that fairseq-generate reads.

ringformer average runs/a/checkpoint8.pt runs/a/checkpoint9.pt --output runs/a/averaged.pt
ringformer average --dir runs/a --last 5 --by epoch --output runs/a/averaged.pt
ringformer average --dir runs/a --best 5 --output runs/a/averaged.pt
ringformer average runs/a/checkpoint_last.pt --ema --output runs/a/ema.pt
"""

import argparse
import os
import tempfile
from typing import Any

from .._fairseq import quiet
from ..errors import UserError
from ..export import averaging
from ..export.checkpoints import read_fairseq_checkpoint
from ..files import write_checkpoint
from ..text.prepared import find_recipe
from . import subwords
from .arguments import check_output, positive, refuse_flags
from .errors import require_fairseq

CHOICES = ("last", "best", "by", "up_to")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoints", nargs="*", metavar="CKPT", help="checkpoints to average")
    parser.add_argument("--dir", metavar="DIR", help="choose among this folder's, with --last or --best")
    number = parser.add_mutually_exclusive_group()
    number.add_argument("--last", type=positive, metavar="N", help="the last N checkpoints of --dir")
    number.add_argument(
        "--best", type=positive, metavar="N", help="the best N of --dir that --keep-best-checkpoints has kept"
    )
    parser.add_argument(
        "--by",
        choices=("update", "epoch"),
        help="--last counts checkpoint_EPOCH_UPDATE.pt or checkpointEPOCH.pt; default: those that there are",
    )
    parser.add_argument("--up-to", type=positive, metavar="N", help="--last ends at update (epoch) N")
    parser.add_argument("--ema", action="store_true", help="take the EMA weights, of a run trained with --store-ema")
    parser.add_argument("--output", required=True, metavar="FILE", help="the checkpoint to write")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="put the dictionaries of this folder of fairseq-preprocess, and the sub-words, into the checkpoint",
    )
    subwords.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    require_fairseq()
    paths = _chosen(args)
    check_output(args.output, paths)
    if args.data is None:
        refuse_flags(args, subwords.ARGUMENTS, "says how the text of --data was cut: add --data DIR")
    assets = None if args.data is None else _assets(args, paths[-1])
    mean = averaging.average(paths, args.ema, tell=lambda text: print(text, flush=True))
    if assets is not None:
        mean["task_state"] = {**(mean.get("task_state") or {}), **assets}
    write_checkpoint(mean, args.output)
    what = "EMA weights" if args.ema else "weights"
    print(f"{what} of {len(paths)} checkpoint{'s' if len(paths) > 1 else ''} written to {args.output}")
    return 0


def _assets(args: argparse.Namespace, path: str) -> dict[str, Any]:
    """What the checkpoint `path` needs to translate by itself, out of --data, under its key in the state of the task.

    Raises:
        UserError: if it was trained with other dictionaries, or nothing says how the text was cut.
    """
    from ..models.assets import KEY, collect
    from ..text.fairseq_engine import build_task, check_dictionaries

    if not os.path.isdir(args.data):
        raise UserError(f"{args.data}: no such data folder")
    cut, state = subwords.find_subwords(args, args.data), read_fairseq_checkpoint(path)
    with quiet(), tempfile.TemporaryDirectory() as folder:
        task = build_task(path, state, args.data, (None, None))
        check_dictionaries(path, state, args.data, task)
        recipe = find_recipe(args.data)
        if any(getattr(args, name) for name in subwords.ARGUMENTS):
            recipe = folder, cut.save(folder)
        languages = task.cfg.source_lang, task.cfg.target_lang
        return {KEY: collect(task.source_dictionary, task.target_dictionary, languages, recipe)}


def _chosen(args: argparse.Namespace) -> list[str]:
    """The checkpoints that the arguments mean, oldest or worst first."""
    if args.dir is None:
        refuse_flags(args, CHOICES, "chooses among the checkpoints of a folder: add --dir DIR")
        if not args.checkpoints:
            raise UserError("no checkpoints: name them, or use --dir DIR with --last N or --best N")
        seen: dict[str, str] = {}
        for path in args.checkpoints:
            if seen.setdefault(os.path.realpath(path), path) is not path:
                raise UserError(f"{path} is given twice")
        return args.checkpoints
    if args.checkpoints:
        raise UserError("--dir excludes checkpoints by name: give one or the other")
    if not os.path.isdir(args.dir):
        raise UserError(f"{args.dir}: no such folder")
    if args.last is not None:
        return averaging.last(args.dir, args.last, args.by, args.up_to)
    if args.best is None:
        raise UserError("--dir needs --last N or --best N")
    refuse_flags(args, ("by", "up_to"), "is for --last: the best are ordered by their score")
    return averaging.best(args.dir, args.best)
