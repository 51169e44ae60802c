"""Print the folder to pass to fairseq as --user-dir, wherever the package is installed."""

import argparse
import importlib
import os
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path

from .._fairseq import quiet_import
from ..errors import UserError
from .errors import require_fairseq

PACKAGE = Path(__file__).resolve().parent.parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(args: argparse.Namespace) -> int:
    print(PACKAGE)
    return 0


def import_folder(folder: str) -> None:
    """Import a folder as fairseq does for --user-dir, so that the models that it registers are known.

    Without fairseq it is imported as a package, for image classifiers.

    Raises:
        UserError: if it is not there, or its import fails; names the line that failed.
    """
    if not os.path.isdir(folder):
        raise UserError(f"--user-dir {folder}: no such folder")
    folder = os.path.abspath(folder)
    parent, name = os.path.split(folder)
    if name == PACKAGE.name:  # this package, from wherever it is running
        return
    try:
        if find_spec("fairseq"):
            require_fairseq()
            from fairseq.utils import import_user_module

            with quiet_import():
                import_user_module(argparse.Namespace(user_dir=folder))
        elif name not in sys.modules:
            sys.path.insert(0, parent)
            importlib.import_module(name)
    except Exception as error:
        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(folder)]
        where = f" ({lines[-1].filename}, line {lines[-1].lineno})" if lines else ""
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"--user-dir {folder} cannot be imported: {text}{where}") from None


def for_fairseq(folders: list[str]) -> str:
    """The one folder for the --user-dir of fairseq's own commands: ours, or one that imports ours.

    Raises:
        UserError: if there are several.
    """
    own = [folder for folder in folders if os.path.basename(os.path.abspath(folder)) != PACKAGE.name]
    if len(own) > 1:
        raise UserError("fairseq-train takes one --user-dir: name one, and import the others in its __init__.py")
    return os.path.abspath(own[0]) if own else str(PACKAGE)
