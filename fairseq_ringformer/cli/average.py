"""Average the weights of several checkpoints of one run into a checkpoint that fairseq-generate reads.

ringformer average runs/a/checkpoint8.pt runs/a/checkpoint9.pt --output runs/a/averaged.pt
ringformer average --dir runs/a --last 5 --by epoch --output runs/a/averaged.pt
ringformer average --dir runs/a --best 5 --output runs/a/averaged.pt
ringformer average runs/a/checkpoint_last.pt --ema --output runs/a/ema.pt
"""

import argparse
import os
import re
from typing import Any

from ..errors import UserError
from .arguments import positive
from .checkpoints import check_output, without_training_state, write_checkpoint
from .errors import load_checkpoint, require_fairseq

HELP = "average checkpoints, or take a run's EMA weights"

# fairseq's names (fairseq/checkpoint_utils.py). The last digit of a best checkpoint's value is random, against ties.
UPDATE = re.compile(r"checkpoint_\d+_(\d+)\.pt")
EPOCH = re.compile(r"checkpoint(\d+)\.pt")
BEST = re.compile(r"checkpoint\.best_(.+)_(\d+\.?\d*)\.pt")


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


def run(args: argparse.Namespace) -> int:
    require_fairseq()
    paths = _chosen(args)
    check_output(args.output, paths)
    mean = Mean()
    newest: dict[str, Any] | None = None
    for path in paths:
        state = load_checkpoint(path)
        mean.add(path, ema_weights(path, state) if args.ema else state["model"])
        print(_describe(path, state), flush=True)
        if newest is None or _updates(state) >= _updates(newest):
            newest = without_training_state(state)
    newest["model"] = mean.result()
    newest["averaged_from"] = [os.path.basename(path) for path in paths]
    write_checkpoint(newest, args.output)
    what = "EMA weights" if args.ema else "weights"
    print(f"{what} of {len(paths)} checkpoint{'s' if len(paths) > 1 else ''} written to {args.output}")
    return 0


def _chosen(args: argparse.Namespace) -> list[str]:
    """The checkpoints that the arguments mean, oldest or worst first."""
    if args.dir is None:
        for flag in ("last", "best", "by", "up_to"):
            if getattr(args, flag) is not None:
                raise UserError(f"--{flag.replace('_', '-')} chooses among the checkpoints of a folder: add --dir DIR")
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
        return last(args.dir, args.last, args.by, args.up_to)
    if args.best is None:
        raise UserError("--dir needs --last N or --best N")
    for flag in ("by", "up_to"):
        if getattr(args, flag) is not None:
            raise UserError(f"--best excludes --{flag.replace('_', '-')}: those are ordered by their score")
    return best(args.dir, args.best)


def last(folder: str, count: int, by: str | None = None, up_to: int | None = None) -> list[str]:
    """The last `count` checkpoints of `folder`, oldest first.

    Args:
        by: ``update`` or ``epoch``; by default the kind that there is.
        up_to: the last update or epoch that counts.

    Raises:
        UserError: if there are fewer, or both kinds and no `by`.
    """
    found = {"update": _matches(folder, UPDATE), "epoch": _matches(folder, EPOCH)}
    if by is None:
        kinds = [kind for kind, matches in found.items() if matches]
        if len(kinds) == 2:
            raise UserError(f"{folder} has checkpoints of updates and of epochs: say --by update or --by epoch")
        by = kinds[0] if kinds else "update"
    numbered = [(int(match[1]), match[0]) for match in found[by]]
    numbered = sorted(entry for entry in numbered if up_to is None or entry[0] <= up_to)
    bound = "" if up_to is None else f" up to {by} {up_to}"
    _require_enough(folder, count, [name for _, name in numbered], f"by {by}{bound}")
    return [os.path.join(folder, name) for _, name in numbered[-count:]]


def best(folder: str, count: int) -> list[str]:
    """The best `count` checkpoints of `folder` by the score in their names, worst first.

    Whether a higher score is better stands in the checkpoints (``--maximize-best-checkpoint-metric``).

    Raises:
        UserError: if there are fewer, or scores of several metrics.
    """
    matches = _matches(folder, BEST)
    metrics = sorted({match[1] for match in matches})
    if len(metrics) > 1:
        raise UserError(f"{folder} has best checkpoints by {' and by '.join(metrics)}: name those to average")
    names = [name for _, name in sorted((float(match[2]), match[0]) for match in matches)]
    _require_enough(folder, count, names, "kept as best (fairseq-train --keep-best-checkpoints N keeps them)")
    paths = [os.path.join(folder, name) for name in names]
    higher_is_better = _setting(load_checkpoint(paths[0]), "maximize_best_checkpoint_metric", False)
    return paths[-count:] if higher_is_better else paths[:count][::-1]


def _matches(folder: str, pattern: re.Pattern) -> list[re.Match]:
    return [match for match in map(pattern.fullmatch, sorted(os.listdir(folder))) if match]


def _require_enough(folder: str, count: int, names: list[str], kind: str) -> None:
    if len(names) < count:
        there = f"only {len(names)}: {', '.join(names)}" if names else "none"
        verb = "is" if len(names) < 2 else "are"
        raise UserError(f"{folder}: {count} checkpoints {kind} wanted, there {verb} {there}")


def _setting(state: dict[str, Any], name: str, default: Any) -> Any:
    """A setting of the run's checkpointing; old checkpoints keep them in a flat namespace."""
    try:
        return state["cfg"]["checkpoint"][name]
    except (KeyError, TypeError):
        return getattr(state.get("args"), name, default)


def _updates(state: dict[str, Any]) -> int:
    history = state.get("optimizer_history") or [{}]
    return history[-1].get("num_updates", 0)


def _describe(path: str, state: dict[str, Any]) -> str:
    loss = (state.get("extra_state") or {}).get("val_loss")
    metric = _setting(state, "best_checkpoint_metric", "loss")
    score = "" if loss is None else f", valid {metric} {float(loss):.3f}"
    return f"{path}: {_updates(state)} updates{score}"


def ema_weights(path: str, state: dict[str, Any]) -> dict[str, Any]:
    """The exponential moving average of a run's weights, as its trainer has stored it in `state`.

    With ``--ema-fp32`` the trainer also stores the average unrounded; that one is taken.

    Raises:
        UserError: if there is none.
    """
    extra = state.get("extra_state") or {}
    weights = extra.get("ema_fp32_params") or extra.get("ema")
    if not weights:
        raise UserError(f"{path} holds no EMA weights: train with --store-ema (and --ema-fp32 with --fp16)")
    weights = {key: value for key, value in weights.items() if key in state["model"]}
    _require_same(path, weights, state["model"], "its EMA weights are not those of its model")
    return {key: weights[key].to(value.dtype) for key, value in state["model"].items()}


class Mean:
    """The mean of several models' weights, summed in float64."""

    def __init__(self):
        self.count = 0
        self.first: dict[str, Any] = {}
        self.sums: dict[str, Any] = {}

    def add(self, path: str, weights: dict[str, Any]) -> None:
        """Add the `weights` that were read from `path`.

        Raises:
            UserError: if they are not those of the same architecture, or not numbers.
        """
        for key, value in weights.items():
            if value.is_floating_point() and value.isnan().any():
                raise UserError(f"{path}: {key} is not a number (NaN) in places: that training has diverged")
        if not self.count:
            self.first = dict(weights)
            self.sums = {key: value.double() for key, value in weights.items() if value.is_floating_point()}
        else:
            _require_same(path, weights, self.first, "of another architecture than the checkpoints before it")
            for key, value in weights.items():
                if key in self.sums:
                    self.sums[key] += value
                elif not value.equal(self.first[key]):
                    raise UserError(f"{path}: {key} holds whole numbers that differ from the other checkpoints'")
        self.count += 1

    def result(self) -> dict[str, Any]:
        """The mean, each tensor in its own type."""
        return {
            key: (self.sums[key] / self.count).to(value.dtype) if key in self.sums else value
            for key, value in self.first.items()
        }


def _require_same(path: str, weights: dict[str, Any], expected: dict[str, Any], problem: str) -> None:
    for key in [*expected, *weights]:
        if key not in weights:
            raise UserError(f"{path}: {problem}: it lacks {key}")
        if key not in expected:
            raise UserError(f"{path}: {problem}: it has {key}")
        ours, theirs = tuple(weights[key].shape), tuple(expected[key].shape)
        if ours != theirs:
            raise UserError(f"{path}: {problem}: {key} is {ours}, not {theirs}")
