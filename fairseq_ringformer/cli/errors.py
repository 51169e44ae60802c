"""The user's mistakes, and reading checkpoints without running what they hold."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import extras
from ..errors import UserError, one_line
from ..files import read_checkpoint


def reason(error: Exception) -> str:
    """An error as one line: with the file that the system names, with the remedy where a package lacks."""
    if isinstance(error, ImportError):
        return f"image classifiers need more packages ({error}): {extras.VISION}"
    return one_line(error)


@contextmanager
def gpu_memory(advice: str) -> Iterator[None]:
    """Say in a line that a GPU's memory is full, and what to do. (By name: torch is imported later.)"""
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        raise UserError(f"out of GPU memory: {advice}") from None


@contextmanager
def told_once() -> Iterator[None]:
    """Tell a mistake that all processes of torchrun or accelerate make alike in the first of each machine alone."""
    try:
        yield
    except (UserError, ImportError, OSError) as error:
        if int(os.environ.get("LOCAL_RANK", 0)):
            raise SystemExit(2) from None
        raise UserError(reason(error)) from None


def require_fairseq() -> None:
    """Import fairseq, and with it the models of this package; UserError unless a usable one is installed."""
    from .._fairseq import check_fairseq, quiet_import

    try:
        check_fairseq()
    except ImportError as error:
        raise UserError(str(error)) from None
    with quiet_import():
        import fairseq  # noqa: F401


def require_timm() -> None:
    """Import timm, and with it the image classifiers of this package; UserError unless it is installed."""
    try:
        import timm  # noqa: F401
    except ImportError as error:
        raise UserError(f"image classifiers need timm ({error}): {extras.VISION}") from None
    from ..vision import registry  # noqa: F401


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
    return read_checkpoint(path)
