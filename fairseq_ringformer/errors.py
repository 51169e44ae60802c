"""The one error class of the package, and how another library's error is told in one line."""

import argparse
import contextlib
from collections.abc import Iterator
from typing import Any, NoReturn


class UserError(ValueError):
    """A mistake that the user can mend; its text says, in one line, what is wrong and what to do."""


class FlagParser(argparse.ArgumentParser):
    """Reads flags that somebody else was given: its complaint is a :class:`UserError`."""

    def __init__(self, **options: Any):
        super().__init__(add_help=False, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


@contextlib.contextmanager
def about(path: str) -> Iterator[None]:
    """Name the file `path` in front of a mistake found in its content."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def one_line(error: Exception) -> str:
    """What an error says, as one line: of the system's, the file and what is wrong with it."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())[:300] or type(error).__name__
