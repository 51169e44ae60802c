"""Steps that are skipped when done, and never mistaken for done when they are not.

The output of a step is a folder, written whole or not at all. The stamp that says what it was made from lies inside, so
that folder and stamp appear in the same instant.
"""

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.files import digest_of_files, whole_folder

STAMP = ".made-from.json"
RECIPE = "recipe.json"


def is_done(output: Path, inputs: dict) -> bool:
    """Whether the folder ``output`` is complete and was made from exactly these ``inputs`` (JSON values)."""
    as_written = json.loads(json.dumps(inputs))  # a tuple as a list
    try:
        return json.loads((output / STAMP).read_text(encoding="utf-8")) == as_written
    except (OSError, ValueError):
        return False


def check_own(*folders: Path) -> None:
    """UserError if one of the ``folders``, which steps will replace, holds what none has made."""
    for folder in folders:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / STAMP).is_file():
            raise UserError(f"{folder} holds what prepare.sh has not made: choose another --output, or move it")


def make(output: Path, inputs: dict, build: Callable[[Path], None], *, force: bool = False) -> bool:
    """Have ``build(folder)`` fill the folder ``output``, unless it is done already; True if it was built.

    ``inputs`` are the options and stamps that the content depends on, as JSON values. With ``force``
    the folder is built anew though it is done. An error in ``build`` leaves the old folder as it was.
    When it changes, a ``recipe.json`` beside it goes: half of the data would be that of before.
    """
    if not force and is_done(output, inputs):
        return False
    check_own(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(output) as partial:
        build(Path(partial))
        (Path(partial) / STAMP).write_text(json.dumps(inputs, indent=1, sort_keys=True), encoding="utf-8")
        output.with_name(RECIPE).unlink(missing_ok=True)
    return True


def say(built: bool, step: str) -> None:
    """Print whether a step was done now or before."""
    print(f"{step}: {'done' if built else 'was done already'}", flush=True)


def digest(value: object) -> str:
    """A short fingerprint of a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def code(*names: str) -> str:
    """A fingerprint of files that the recipes share, so that a changed recipe makes its steps anew."""
    return digest_of_files(Path(__file__).with_name(name) for name in names)


def package_code(*names: str) -> str:
    """The same of modules of the package, ``wordpieces.py`` for one."""
    package = Path(importlib.util.find_spec("fairseq_ringformer").origin).parent
    return digest_of_files(package / name for name in names)
