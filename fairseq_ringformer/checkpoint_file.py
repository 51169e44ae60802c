"""Checkpoint files: read without running what they hold, written whole or not at all."""

import os
import pickle
import re
import zipfile
from typing import Any, Dict


def read_checkpoint(path: str) -> Dict[str, Any]:
    """The dictionary in the file at `path`, on the CPU, by torch's safe loader: nothing in it is executed.

    Raises:
        ValueError: if the file is missing, damaged, or holds something else.
    """
    import torch

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


def write_checkpoint(state: Dict[str, Any], path: str) -> None:
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
