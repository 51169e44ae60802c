"""Writing checkpoints whole or not at all."""

import os
from typing import Any

from .. import files as checkpoint_file
from ..errors import UserError


def without_training_state(state: dict[str, Any]) -> dict[str, Any]:
    """What fairseq needs to build the model of `state` and to fine-tune it, without weights and optimizer."""
    # Absent is not None: fairseq reads a task_state as soon as the key is there.
    kept = {key: state[key] for key in ("args", "cfg", "criterion", "optimizer_history", "task_state") if key in state}
    extra = state.get("extra_state") or {}
    kept["extra_state"] = {key: extra[key] for key in ("train_iterator",) if key in extra}
    return kept


def is_classifier(state: dict[str, Any]) -> bool:
    """Whether a checkpoint is an image classifier's, and not fairseq's."""
    return "state_dict" in state and "arch" in state


def check_output(output: str, paths: list[str]) -> None:
    """Raise UserError unless `output` can be written without harm to the checkpoints `paths` that it is made from."""
    folder = os.path.dirname(output) or "."
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder for --output")
    if os.path.isdir(output):
        raise UserError(f"--output {output} is a folder: name a file")
    if os.path.realpath(output) in map(os.path.realpath, paths):
        raise UserError(f"--output {output} is one of the checkpoints to read: choose another name")


def write_checkpoint(state: dict[str, Any], output: str) -> None:
    """Write `state` whole or not at all; UserError if it cannot be written."""
    try:
        checkpoint_file.write_checkpoint(state, output)
    except ValueError as error:
        raise UserError(str(error)) from None
