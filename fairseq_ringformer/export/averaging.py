"""Averages of checkpoints of one run of fairseq, chosen by their names.

Averaging stands beside folding: both turn what a training leaves into a checkpoint to use, without its optimizer.
"""

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import UserError
from .checkpoints import read_fairseq_checkpoint, settings, without_training_state

# fairseq's names (fairseq/checkpoint_utils.py). The last digit of a best checkpoint's value is random, against ties.
UPDATE = re.compile(r"checkpoint_\d+_(\d+)\.pt")
EPOCH = re.compile(r"checkpoint(\d+)\.pt")
BEST = re.compile(r"checkpoint\.best_(.+)_(\d+\.?\d*)\.pt")


def average(paths: Sequence[str], ema: bool = False, tell: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """The checkpoint whose weights are the mean of those of `paths`, and whose settings are the newest one's.

    Args:
        paths: checkpoints of fairseq.
        ema: average their EMA weights instead.
        tell: is told, in a line, of each checkpoint that was read.

    Raises:
        UserError: if one cannot be read, is of another architecture than the others, or has no such weights.
    """
    mean = Mean()
    updates: list[int] = []
    newest: dict[str, Any] = {}
    for path in paths:
        state = read_fairseq_checkpoint(path)
        mean.add(path, ema_weights(path, state) if ema else state["model"])
        tell(_describe(path, state))
        updates.append(_updates(state))
        if updates[-1] == max(updates):
            newest = without_training_state(state)
    names = [os.path.basename(path) for path in paths]
    return {**newest, "model": mean.result(), "averaged_from": names}


def last(folder: str, count: int, by: str | None = None, up_to: int | None = None) -> list[str]:
    """The last `count` checkpoints of `folder`, oldest first.

    Args:
        by: ``update`` or ``epoch``; by default the kind that there is.
        up_to: the last update or epoch that counts.

    Raises:
        UserError: if there are fewer, or both kinds and no `by`.
    """
    matches = {"update": _matches(folder, UPDATE), "epoch": _matches(folder, EPOCH)}
    if by is None:
        kinds = [kind for kind in matches if matches[kind]]
        if len(kinds) == 2:
            raise UserError(f"{folder} has checkpoints of updates and of epochs: say --by update or --by epoch")
        by = kinds[0] if kinds else "update"
    numbered = [(int(match[1]), match[0]) for match in matches[by]]
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
    higher_is_better = _setting(read_fairseq_checkpoint(paths[0]), "maximize_best_checkpoint_metric", False)
    return paths[-count:] if higher_is_better else paths[:count][::-1]


def _matches(folder: str, pattern: re.Pattern) -> list[re.Match]:
    return [match for match in map(pattern.fullmatch, sorted(os.listdir(folder))) if match]


def _require_enough(folder: str, count: int, names: list[str], kind: str) -> None:
    if len(names) < count:
        present = f"only {len(names)}: {', '.join(names)}" if names else "none"
        verb = "is" if len(names) < 2 else "are"
        raise UserError(f"{folder}: {count} checkpoints {kind} wanted, there {verb} {present}")


def _setting(state: dict[str, Any], name: str, default: Any) -> Any:
    """A setting of the run's checkpointing; old checkpoints keep them in a flat namespace."""
    return settings(state, "checkpoint").get(name, getattr(state.get("args"), name, default))


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
    return {key: weights[key] for key in state["model"]}


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
