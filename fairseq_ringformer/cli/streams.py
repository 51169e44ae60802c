"""Text that commands read line by line, and what they tell of it on standard error."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from ..errors import UserError, one_line

STANDARD = "-"


@contextlib.contextmanager
def open_input(path: str | None) -> Iterator[BinaryIO]:
    """The file `path` or, if that is ``-`` or None, standard input; UserError if it cannot be read."""
    if path in (None, STANDARD):
        yield sys.stdin.buffer
        return
    try:
        stream = open(path, "rb")
    except OSError as error:
        raise UserError(one_line(error)) from None
    with stream:
        yield stream


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
