"""What fairseq-train tells in its log with ``--log-format json``."""

import json
from typing import Any


def record(line: str, name: str) -> dict[str, Any] | None:
    """What a line of the log says under `name`, ``train_inner`` or ``valid``; None if it is another line."""
    _, _, entry = line.partition(f" | {name} | ")
    return json.loads(entry) if entry.startswith("{") and entry.rstrip().endswith("}") else None
