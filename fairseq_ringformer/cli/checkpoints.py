"""Writing checkpoints whole or not at all."""

import os
from typing import Any, Dict, List

from .errors import UserError


def without_training_state(state: Dict[str, Any]) -> Dict[str, Any]:
    """What fairseq needs to build the model of `state` and to fine-tune it, without weights and optimizer."""
    kept = {key: state.get(key) for key in ("args", "cfg", "criterion", "optimizer_history", "task_state")}
    extra = state.get("extra_state") or {}
    kept["extra_state"] = {key: extra[key] for key in ("train_iterator",) if key in extra}
    return kept


def check_output(output: str, paths: List[str]) -> None:
    """Raise UserError unless `output` can be written without harm to the checkpoints `paths` that it is made from."""
    folder = os.path.dirname(output) or "."
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder for --output")
    if os.path.isdir(output):
        raise UserError(f"--output {output} is a folder: name a file")
    if os.path.realpath(output) in map(os.path.realpath, paths):
        raise UserError(f"--output {output} is one of the checkpoints to read: choose another name")


def write_checkpoint(state: Dict[str, Any], output: str) -> None:
    """Write `state` under another name first, so that `output` is never half a checkpoint.

    Raises:
        UserError: if it cannot be written.
    """
    import torch

    folder, name = os.path.split(output)
    partial = os.path.join(folder, f".{name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as stream:
            torch.save(state, stream)
        os.replace(partial, output)
    except (OSError, RuntimeError) as error:
        raise UserError(f"cannot write {output}: {getattr(error, 'strerror', None) or error}") from None
    finally:
        if os.path.exists(partial):
            os.remove(partial)
