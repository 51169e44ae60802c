"""Files: written whole or not at all, and read without running what they hold."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import pickle
import re
import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from ._fairseq import allow_safe_loading
from .errors import UserError

StrPath = str | os.PathLike[str]


def is_stream(path: StrPath) -> bool:
    """Whether `path` is written to as it is and never replaced: a device, a pipe, or an open file such as /dev/stdout."""
    path = os.path.abspath(path)
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return True
    while os.path.islink(path):
        folder = os.path.dirname(path)
        if re.fullmatch(r"/proc/[^/]+/fd", os.path.realpath(folder)):
            return True
        path = os.path.join(folder, os.readlink(path))
    return False


def locked(path: StrPath, complaint: str) -> IO:
    """The file `path`, which no other process has in this way until it is closed; it is made if it is not there.

    Raises:
        UserError: with `complaint`, if another has it.
    """
    stream = open(path, "w")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        raise UserError(complaint) from None
    return stream


@contextlib.contextmanager
def whole_file(path: StrPath) -> Iterator[str]:
    """A name to write to, which becomes `path` at the end: whole, also where power fails.

    It has the ending of `path`, and lies in its folder. If the body fails, `path` stays as it was. A link keeps pointing
    where it points, and a file that is replaced its permissions and owner. A stream (:func:`is_stream`) is its own name.

    Raises:
        UserError: if `path` cannot be written, or the body fails with an OSError.
    """
    if is_stream(path):
        try:
            yield os.fspath(path)
        except OSError as error:
            raise _unwritable(path, error) from None
        return
    target = os.path.realpath(path)
    partial = _partial(target)
    try:
        if os.path.exists(target) and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _remove_abandoned(target)
        yield partial
        _sync(partial)
        _take_over(target, partial)
        os.replace(partial, target)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            os.remove(partial)


@contextlib.contextmanager
def whole_folder(path: StrPath, sync: bool = True) -> Iterator[str]:
    """As :func:`whole_file`, for a folder: the empty one to fill becomes `path`, in the place of an older one.

    Args:
        sync: whether it is whole also where power fails, which takes long for very many files.

    Raises:
        UserError: if `path` cannot be written, or the body fails with an OSError.
    """
    target = os.path.realpath(path)
    partial = _partial(target)
    try:
        if os.path.exists(target) and not os.path.isdir(target):
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder")
        _remove_abandoned(target)
        shutil.rmtree(partial, ignore_errors=True)
        new, old = os.path.join(partial, "new"), os.path.join(partial, "old")
        os.makedirs(new)
        try:
            yield new
            for folder, _, names in os.walk(new) if sync else ():
                for name in names:
                    _sync(os.path.join(folder, name))
            _take_over(target, new)
            try:
                if os.path.lexists(target):
                    os.replace(target, old)
                os.replace(new, target)
            except BaseException:  # an interruption, too
                if os.path.lexists(old) and not os.path.lexists(target):
                    os.replace(old, target)
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise _unwritable(path, error) from None


def _take_over(old: str, new: str) -> None:
    """Give `new` the owner and the permissions of `old`, if there is one."""
    if not os.path.exists(old):
        return
    status = os.stat(old)
    with contextlib.suppress(PermissionError):  # another's file in a folder of one's own
        os.chown(new, status.st_uid, status.st_gid)
    os.chmod(new, stat.S_IMODE(status.st_mode))


def _partial(target: str) -> str:
    """What is written before it becomes `target`, beside it: the name ends as `target` does."""
    folder, name = os.path.split(target)
    return os.path.join(folder, f".partial.{os.getpid()}.{name[-50:]}")


def _remove_abandoned(target: str) -> None:
    """Remove what killed processes have left of writing `target`, unless the one from before is in it."""
    folder, name = os.path.split(target)
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            found = re.fullmatch(r"\.partial\.(\d{1,9})\.(.*)", entry, re.DOTALL)
            if found and found[2] == name[-50:] and not _is_running(int(found[1])):
                left = os.path.join(folder, entry)
                if os.path.exists(target) or not os.path.exists(os.path.join(left, "old")):
                    shutil.rmtree(left) if os.path.isdir(left) else os.remove(left)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def write_text(path: StrPath, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    What UTF-8 cannot say, of a file's name that is not in it, is written as ``\\udcfc``, which JSON reads back.

    Raises:
        UserError: if it cannot be written.
    """
    with (
        whole_file(path) as partial,
        open(partial, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream,
    ):
        stream.write(text)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, cut at line feeds alone (other separators may stand within a sentence)."""
    with open(path, encoding="utf-8", newline="\n") as stream:
        return [line.removesuffix("\n") for line in stream]


def digest_of_files(paths: Iterable[Path]) -> str:
    """A short fingerprint of the names and contents of `paths`, in the order given."""
    contents = []
    for path in paths:
        with open(path, "rb") as stream:
            contents.append((path.name, hashlib.file_digest(stream, "sha256").hexdigest()))
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]


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
