"""Text that commands read line by line, and what they tell of it on standard error."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, TypeVar

from ..errors import UserError, one_line

STANDARD = "-"
Item = TypeVar("Item")


def check_input(path: str | None, name: str = "") -> None:
    """Require that :func:`open_input` finds something to read: a file, a FIFO or a device.

    Args:
        name: the flag that names it.

    Raises:
        UserError: if it does not.
    """
    if path in (None, STANDARD):
        return
    of_flag = f" for {name}" if name else ""
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file{of_flag}")
    if os.path.isdir(path):
        raise UserError(f"{path}: a folder, no file{of_flag}")


def flushed(groups: Iterable[Iterable[Item]], target: BinaryIO) -> Iterator[Item]:
    """What is in `groups`, one by one; `target` is flushed at the end of each, before the next is waited for."""
    for group in groups:
        yield from group
        target.flush()


@contextlib.contextmanager
def open_input(path: str | None) -> Iterator[BinaryIO]:
    """The file `path` or, if that is ``-`` or None, standard input; UserError if it cannot be read."""
    if path in (None, STANDARD):
        if sys.stdin is None:  # closed by the shell's <&-
            raise UserError("standard input is closed: give text, or a file")
        yield sys.stdin.buffer
        return
    try:
        stream = open(path, "rb")
    except OSError as error:
        raise UserError(one_line(error)) from None
    with stream:
        yield stream


def standard_output() -> BinaryIO:
    """Standard output, for bytes; UserError if it is closed."""
    if sys.stdout is None:  # by the shell's >&-
        raise UserError("standard output is closed: give --output")
    return sys.stdout.buffer


def counted(lines: Iterable[Any], source: BinaryIO, target: BinaryIO) -> Iterable[Any]:
    """`lines`, counted on a terminal's standard error, unless it is busy with the text itself or tqdm lacks."""
    if not sys.stderr.isatty() or source.isatty() or target.isatty():
        return lines
    try:
        from tqdm import tqdm
    except ImportError:  # a deployed translator does without
        return lines
    return tqdm(lines, unit=" lines", file=sys.stderr)


def notices(command: str) -> Callable[[str], None]:
    """A function that tells of something in the text, and leaves a count of lines whole."""

    def note(text: str) -> None:
        tqdm = sys.modules.get("tqdm")
        write = tqdm.tqdm.write if tqdm else print
        write(f"ringformer {command}: {text}", file=sys.stderr)

    return note
