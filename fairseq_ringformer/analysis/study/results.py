"""What a study has found: a file of JSON lines, one for each run."""

import json
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files import write_text

RESULTS = "results.jsonl"
# What a line must have to be a result.
KEYS = "grid row seed parameters updates seconds data folder key conditions commit versions machine".split()
LABELS = {"bleu": "BLEU", "top1": "top-1"}  # of the metrics, one of which it has as well


def read_results(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of results.

    Raises:
        UserError: if there is no such file, or a line is no result, as the last one of a copy that was cut off.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or 'not a text file'}") from None
    results = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            whole = "ends in the middle of a line" if line.startswith("{") else "holds something else than JSON"
            raise UserError(
                f"{path}: line {number} {whole}: delete that line; ringformer study measures its run again"
            ) from None
        missing = [key for key in KEYS if key not in entry] if isinstance(entry, dict) else list(KEYS)
        if not missing and not LABELS.keys() & entry.keys():
            missing = [" or ".join(LABELS)]
        if missing:
            raise UserError(f"{path}: line {number} is no result: it lacks {', '.join(missing)}")
        results.append(entry)
    return results


def append_result(path: Path, entry: dict[str, Any]) -> None:
    """Add a line. The file appears whole or not at all, so that no interruption can cut it."""
    path = Path(path)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if before and not before.endswith("\n"):
        before += "\n"
    write_text(path, before + json.dumps(entry, ensure_ascii=False) + "\n")
