"""Why a command of a study failed."""

import threading

import pytest

from fairseq_ringformer.analysis.study.process import Command


@pytest.mark.parametrize(
    "script, status, complaint",
    [
        ("echo training; echo no memory >&2; exit 3", 3, "no memory"),
        ("exit 3", 3, "it wrote nothing"),
        ("echo loss 0.5; kill -9 $$", -9, "killed by SIGKILL (memory ran out?)"),
        ("echo loss 0.5; kill -15 $$", -15, "killed by SIGTERM"),
    ],
)
def test_a_failed_command_says_why(tmp_path, script, status, complaint):
    """Out of memory, a process dies without a word: its last line would tell of a loss."""
    command = Command(["sh", "-c", script], tmp_path / "log", {}, threading.Event(), tmp_path / "errors")
    assert command.run() == status
    assert command.complaint() == complaint
