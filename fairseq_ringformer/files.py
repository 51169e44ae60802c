"""Files: text and checkpoints, written whole or not at all, and read without running what they hold."""

import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

from ._fairseq import allow_safe_loading


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, cut at line feeds alone (other separators may stand within a sentence)."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all, also where power fails."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)


def read_checkpoint(path: str) -> dict[str, Any]:
    """The dictionary in the file at `path`, on the CPU, by torch's safe loader: nothing in it is executed.

    Raises:
        ValueError: if the file is missing, damaged, or holds something else.
    """
    import torch

    allow_safe_loading()
    if not os.path.isfile(path):
        raise ValueError(f"{path}: no such checkpoint")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{path}: not a checkpoint, or a damaged one; nothing in it was executed") from None
        found = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it holds {found[1]}" if found else "unknown content"
        raise ValueError(f"{path}: refused by torch's safe loader, nothing in it was executed ({reason})") from None
    except PermissionError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except MemoryError:
        raise
    except Exception:  # many kinds: OSError for a cut file, IndexError or struct.error for text read as a pickle, ...
        raise ValueError(
            f"{path}: damaged or truncated checkpoint, or none; copy it again or use an earlier one"
        ) from None
    if not isinstance(state, dict):
        raise ValueError(f"{path}: a readable file, but no checkpoint")
    return state


def write_checkpoint(state: dict[str, Any], path: str) -> None:
    """Write `state` under another name first, so that `path` is never half a checkpoint.

    Raises:
        ValueError: if it cannot be written.
    """
    import torch

    folder, name = os.path.split(path)
    partial = os.path.join(folder, f".{name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None
    finally:
        if os.path.exists(partial):
            os.remove(partial)
