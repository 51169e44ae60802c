"""The user's mistakes, and reading checkpoints without running what they hold."""

import os
import pickle
import zipfile
from typing import Any, Dict


class UserError(Exception):
    """A mistake that the user can mend; its text says what is wrong and what to do."""


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
        raise UserError(f"image classifiers need timm ({error}): pip install 'fairseq-ringformer[vision]'") from None
    from ..vision import registry  # noqa: F401


def load_checkpoint(path: str) -> Dict[str, Any]:
    """Read a fairseq checkpoint onto the CPU with torch's safe loader: nothing in the file is executed.

    Raises:
        UserError: if the file is missing, truncated, or no fairseq checkpoint.
    """
    import torch

    if not os.path.isfile(path):
        raise UserError(f"{path}: no such checkpoint")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path}: not a checkpoint, or a damaged one; nothing in it was executed") from None
        reason = str(error).splitlines()[0] if str(error) else "unknown content"
        raise UserError(f"{path}: refused by torch's safe loader, nothing in it was executed ({reason})") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise UserError(f"{path}: damaged or truncated checkpoint; copy it again or use an earlier one") from None
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise UserError(f"{path}: a readable file, but no fairseq checkpoint (it holds no model)")
    return state
