"""Checkpoints as dictionaries: which kind they are, the data that belongs to them, what of them outlives the training."""

import argparse
import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from ..errors import UserError
from ..files import StrPath, read_checkpoint


def read_fairseq_checkpoint(path: StrPath) -> dict[str, Any]:
    """The checkpoint of fairseq at `path`; nothing in the file is executed.

    Raises:
        UserError: if the file is missing, damaged, or no fairseq checkpoint.
    """
    return check_fairseq_checkpoint(path, read_checkpoint(path))


def check_fairseq_checkpoint(path: StrPath, state: dict[str, Any]) -> dict[str, Any]:
    """`state`, which was read from `path`; UserError unless it is fairseq's."""
    if not isinstance(state.get("model"), dict):
        raise UserError(f"{path}: a readable file, but no fairseq checkpoint (it holds no model)")
    return state


def is_classifier(state: dict[str, Any]) -> bool:
    """Whether a checkpoint is an image classifier's, and not fairseq's."""
    return "state_dict" in state and "arch" in state


def settings(state: dict[str, Any], part: str) -> dict[str, Any]:
    """What the checkpoint `state` says of a `part`: ``model``, ``task`` ...; empty if it says nothing.

    fairseq keeps those of some models and tasks as a namespace.
    """
    cfg = state.get("cfg")
    found = cfg.get(part) if isinstance(cfg, Mapping) else None
    found = vars(found) if isinstance(found, argparse.Namespace) else found
    return dict(found) if isinstance(found, Mapping) else {}


def without_training_state(state: dict[str, Any]) -> dict[str, Any]:
    """What fairseq needs to build the model of `state` and to fine-tune it, without weights and optimizer."""
    # Absent is not None: fairseq reads a task_state as soon as the key is there.
    names = ("args", "cfg", "criterion", "optimizer_history", "task_state")
    extra = state.get("extra_state") or {}
    extra = {name: extra[name] for name in ("train_iterator",) if name in extra}
    return {**{name: state[name] for name in names if name in state}, "extra_state": extra}


def split_paths(text: str) -> list[str]:
    """The checkpoints of ``--path``, between colons, which may also stand in the name of a file that is there."""
    parts, paths = text.split(os.pathsep), []
    while parts:
        files = [end for end in range(len(parts), 0, -1) if os.path.isfile(os.pathsep.join(parts[:end]))]
        end = next(iter(files), 1)
        paths.append(os.pathsep.join(parts[:end]))
        parts = parts[end:]
    return paths


def data_folder(data: str | None, path: str, state: dict[str, Any], stack: ExitStack) -> str:
    """The folder of ``--data``, or else one of what the checkpoint `state`, which was read from `path`, carries.

    Args:
        stack: closes the latter at its end.

    Raises:
        UserError: if there is neither.
    """
    if data is not None:
        if not os.path.isdir(data):
            raise UserError(f"{data}: no such data folder")
        return data
    from ..models.assets import assets_of, unpacked

    assets = assets_of(state)
    if assets is None:
        raise UserError(
            f"{path} carries no dictionaries: give --data DIR, the folder that fairseq-preprocess has written"
        )
    return stack.enter_context(unpacked(assets))
