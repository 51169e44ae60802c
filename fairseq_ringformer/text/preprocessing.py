"""fairseq's own preprocessing, of text in sub-words to the binary data that it trains on."""

import subprocess
import sys
from collections.abc import Sequence

from ..errors import UserError
from ..files import StrPath


def preprocess(options: Sequence[str], by_hand_on: StrPath | None = None) -> None:
    """Run ``fairseq-preprocess``.

    Args:
        options: its own.
        by_hand_on: the folder of text that a user can run it on again, if that outlives this run.

    Raises:
        UserError: if fairseq refuses.
    """
    command = [sys.executable, "-m", "fairseq_cli.preprocess", *options]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if run.returncode:
        last = (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]
        advice = "" if by_hand_on is None else f": run it by hand on {by_hand_on} to see all it prints"
        raise UserError(f"fairseq-preprocess failed ({last}){advice}")
