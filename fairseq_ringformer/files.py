"""Files: written whole or not at all, and read without running what they hold."""

import contextlib
import os
import pickle
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._fairseq import allow_safe_loading
from .errors import UserError

StrPath = str | os.PathLike[str]


@contextlib.contextmanager
def whole_file(path: StrPath) -> Iterator[str]:
    """A name to write to, which becomes `path` at the end: whole, also where power fails.

    It has the ending of `path`, and lies in its folder. If the body fails, `path` stays as it was.

    Raises:
        UserError: if `path` cannot be written, or the body fails with an OSError.
    """
    folder, name = os.path.split(path)
    partial = os.path.join(folder, f".partial.{os.getpid()}.{name}")
    try:
        # A device or a pipe would be replaced by the file.
        if os.path.exists(path) and not os.path.isfile(path):
            raise UserError(f"cannot write {path}: it is no regular file")
        yield partial
        _sync(partial)
        os.replace(partial, path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(partial)


@contextlib.contextmanager
def whole_folder(path: StrPath, sync: bool = True) -> Iterator[str]:
    """As :func:`whole_file`, for a folder: the empty one to fill becomes `path`, in the place of an older one.

    Args:
        sync: whether it is whole also where power fails, which takes long for very many files.

    Raises:
        UserError: if `path` cannot be written, or the body fails with an OSError.
    """
    path = os.path.normpath(path)
    try:
        with tempfile.TemporaryDirectory(dir=os.path.dirname(path) or ".", prefix=".partial.") as work:
            new, old = os.path.join(work, "new"), os.path.join(work, "old")
            os.mkdir(new)
            yield new
            for folder, _, names in os.walk(new) if sync else ():
                for name in names:
                    _sync(os.path.join(folder, name))
            try:
                if os.path.lexists(path):
                    os.replace(path, old)
                os.replace(new, path)
            except BaseException:  # an interruption, too
                if os.path.lexists(old) and not os.path.lexists(path):
                    os.replace(old, path)
                raise
    except OSError as error:
        raise _unwritable(path, error) from None


def write_text(path: StrPath, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Raises:
        UserError: if it cannot be written.
    """
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, cut at line feeds alone (other separators may stand within a sentence)."""
    with open(path, encoding="utf-8", newline="\n") as stream:
        return [line.removesuffix("\n") for line in stream]


def write_checkpoint(state: dict[str, Any], path: StrPath) -> None:
    """Write a dictionary of tensors and plain values, whole or not at all.

    Raises:
        UserError: if it cannot be written.
    """
    import torch

    with whole_file(path) as partial, open(partial, "wb") as stream:
        try:
            torch.save(state, stream)
        except RuntimeError as error:  # torch's own, where the disk is full
            raise _unwritable(path, error) from None


def read_checkpoint(path: StrPath) -> dict[str, Any]:
    """The dictionary in the file at `path`, on the CPU, by torch's safe loader: nothing in it is executed.

    Raises:
        UserError: if the file is missing, damaged, or holds something else.
    """
    import torch

    allow_safe_loading()
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such checkpoint")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path}: not a checkpoint, or a damaged one; nothing in it was executed") from None
        unsafe = re.search(r"GLOBAL (\S+)", str(error))
        content = f"it holds {unsafe[1]}" if unsafe else "unknown content"
        raise UserError(f"{path}: refused by torch's safe loader, nothing in it was executed ({content})") from None
    except PermissionError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except MemoryError:
        raise
    except Exception:  # many kinds: OSError for a cut file, IndexError or struct.error for text read as a pickle, ...
        raise UserError(
            f"{path}: damaged or truncated checkpoint, or none; copy it again or use an earlier one"
        ) from None
    if not isinstance(state, dict):
        raise UserError(f"{path}: a readable file, but no checkpoint")
    return state


def _sync(path: str) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def _unwritable(path: StrPath, error: Exception) -> UserError:
    return UserError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}")
