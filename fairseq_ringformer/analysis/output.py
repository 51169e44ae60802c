"""Files that analyses write: pictures, JSON, pages."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import UserError
from ..files import write_whole

PICTURES = (".png", ".svg")


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """UserError if `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def write_text(text: str, path: str) -> None:
    """Write a file whole or not at all; UserError if it cannot be."""
    with writing(path):
        write_whole(Path(path), text)


def write_json(content: dict[str, Any], path: str) -> None:
    """Write `content`, which must hold no NaN (see :func:`rounded`), and the version of this package."""
    content = {**content, "version": __version__}
    write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", path)


def save_figure(figure: Any, prefix: str) -> None:
    """Write a matplotlib figure as PREFIX.png and PREFIX.svg."""
    for ending in PICTURES:
        with writing(prefix + ending):
            figure.savefig(prefix + ending, dpi=150)


def rounded(values: Any, digits: int = 6) -> Any:
    """Nested lists of numbers for JSON; None for NaN."""
    if isinstance(values, (list, tuple)):
        return [rounded(value, digits) for value in values]
    return None if values != values else round(float(values), digits)
