"""How far a training of fairseq is, by its last checkpoint, which an interruption may have cut."""

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files import read_checkpoint, whole_file

LAST = "checkpoint_last.pt"


def updates_so_far(checkpoints: Path) -> int:
    """Updates of the training whose checkpoints lie in a folder; 0 if there are none.

    fairseq copies a checkpoint to checkpoint_last.pt instead of renaming it, so that an interruption can leave half of
    one. That one is put aside as checkpoint_last.pt.damaged, and the newest whole checkpoint takes its place.

    Raises:
        UserError: if the last one is whole and cannot be read all the same, or is not of fairseq-train.
    """
    last = checkpoints / LAST
    if last.exists():
        if zipfile.is_zipfile(last):
            return updates_done(read_checkpoint(str(last)), last)
        os.replace(last, f"{last}.damaged")
    return _restore(checkpoints)


def _restore(checkpoints: Path) -> int:
    """Make the newest whole checkpoint the last one."""
    others = sorted(checkpoints.glob("checkpoint*.pt"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others:
        if zipfile.is_zipfile(path):
            done = updates_done(read_checkpoint(str(path)), path)
            with whole_file(checkpoints / LAST) as partial:
                shutil.copyfile(path, partial)
            return done
    return 0


def updates_done(state: dict[str, Any], path: Path) -> int:
    """Updates after which a checkpoint of fairseq was written; UserError if it is none."""
    try:
        return state["optimizer_history"][-1]["num_updates"]
    except (KeyError, IndexError, TypeError):
        raise UserError(f"{path}: no checkpoint of fairseq-train") from None
