"""Files that analyses write, whole or not at all."""

import json
from typing import Any

from .. import __version__
from ..files import whole_file, write_text

PICTURES = (".png", ".svg")


def write_json(path: str, content: dict[str, Any]) -> None:
    """Write `content`, which must hold no NaN (see :func:`rounded`), and the version of this package.

    Raises:
        UserError: if it cannot be written; as the next.
    """
    content = {**content, "version": __version__}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def save_figure(prefix: str, figure: Any) -> None:
    """Write a matplotlib figure as PREFIX.png and PREFIX.svg."""
    for ending in PICTURES:
        with whole_file(prefix + ending) as partial:
            figure.savefig(partial, dpi=150)


def rounded(values: Any, digits: int = 6) -> Any:
    """Nested lists of numbers for JSON; None for NaN."""
    if isinstance(values, (list, tuple)):
        return [rounded(value, digits) for value in values]
    return None if values != values else round(float(values), digits)
