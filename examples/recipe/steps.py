"""Steps that are skipped when done, and never mistaken for done when they are not.

The output of a step is a folder. It is built under another name and renamed when complete; the stamp
that says what it was made from lies inside, so that folder and stamp appear in the same instant.

Nothing here needs the package: data can be fetched before it is installed.
"""

import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

STAMP = ".made-from.json"
RECIPE = "recipe.json"


def is_done(output: Path, inputs: dict) -> bool:
    """Whether the folder ``output`` is complete and was made from exactly these ``inputs`` (JSON values)."""
    try:
        return json.loads((output / STAMP).read_text(encoding="utf-8")) == inputs
    except (OSError, ValueError):
        return False


def make(output: Path, inputs: dict, build: Callable[[Path], None], *, force: bool = False) -> bool:
    """Have ``build(folder)`` fill the folder ``output``, unless it is done already; True if it was built.

    ``inputs`` are the options and stamps that the content depends on, as JSON values. With ``force``
    the folder is built anew whatever stands there. An error in ``build`` leaves the old folder as it was.
    When it changes, a ``recipe.json`` beside it goes: half of the data would be that of before.
    """
    if not force and is_done(output, inputs):
        return False
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    build(partial)
    (partial / STAMP).write_text(json.dumps(inputs, indent=1, sort_keys=True), encoding="utf-8")
    output.with_name(RECIPE).unlink(missing_ok=True)
    shutil.rmtree(output, ignore_errors=True)
    os.replace(partial, output)
    return True


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` to the file ``path``, which never holds half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


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


def digest_of_files(paths: Iterable[Path]) -> str:
    """A short fingerprint of the names and contents of ``paths``, in the order given."""
    return digest([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths])
