"""The user's mistakes, and reading checkpoints without running what they hold."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import extras
from ..errors import UserError
from ..files import read_checkpoint


def reason(error: Exception) -> str:
    """An error as one line: with the file that the system names, with the remedy where a package lacks."""
    if isinstance(error, ImportError):
        return str(extras.explain(error))
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


@contextmanager
def gpu_memory(advice: str) -> Iterator[None]:
    """Say in a line that a GPU's memory is full, and what to do. (By name: torch is imported later.)"""
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        raise UserError(f"out of GPU memory: {advice}") from None


def first_of_machine() -> bool:
    """Whether this is the first process, or the only one, of torchrun or accelerate on this machine."""
    return int(os.environ.get("LOCAL_RANK", 0)) == 0


def require_fairseq() -> None:
    """Register the translation models with fairseq; UserError unless a usable one is installed."""
    from .. import models  # noqa: F401


def require_timm() -> None:
    """Register the image classifiers with timm; UserError unless it is installed."""
    from .. import vision  # noqa: F401


def load_checkpoint(path: str) -> dict[str, Any]:
    """Read a fairseq checkpoint onto the CPU with torch's safe loader: nothing in the file is executed.

    Raises:
        UserError: if the file is missing, truncated, or no fairseq checkpoint.
    """
    return check_fairseq_checkpoint(path, load_any_checkpoint(path))


def check_fairseq_checkpoint(path: str, state: dict[str, Any]) -> dict[str, Any]:
    """`state`, which was read from `path`; UserError unless it is fairseq's."""
    if not isinstance(state.get("model"), dict):
        raise UserError(f"{path}: a readable file, but no fairseq checkpoint (it holds no model)")
    return state


def load_any_checkpoint(path: str) -> dict[str, Any]:
    """As :func:`load_checkpoint`, whatever the dictionary in the file is for."""
    try:
        return read_checkpoint(path)
    except ValueError as error:
        raise UserError(str(error)) from None
