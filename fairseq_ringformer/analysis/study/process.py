"""One command of a study in a process of its own, watched through its log."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

MARK = "RINGFORMER_STUDY"  # in the environment of a study's processes: its folder
POLL = 0.1  # seconds
Progress = Callable[[str], tuple[int, float] | None]


class Stopped(Exception):
    """The study was interrupted."""


def end_leftovers(output: Path) -> None:
    """End the processes that an earlier study in `output`, killed itself, has left behind."""
    left = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == str(output):
                process.kill()
                left.append(process)
        except (psutil.Error, OSError):  # another user's, or gone
            pass
    psutil.wait_procs(left, timeout=10)


class Command:
    """A command whose output is added to a log.

    Args:
        log: of its output.
        environment: in which it runs.
        stop: ends it when it is set.
        errors: another file for what it writes on standard error; default: the log.
    """

    def __init__(
        self,
        command: list[str],
        log: Path,
        environment: Mapping[str, str],
        stop: threading.Event,
        errors: Path | None = None,
    ):
        self.command, self.log, self.environment, self.stop = command, log, environment, stop
        self.errors = errors or log
        self.status = 0
        self.starts = {path: path.stat().st_size if path.exists() else 0 for path in (self.log, self.errors)}

    def run(self, progress: Progress = lambda line: None, tell: Callable[[int, float], bool] = lambda *_: False) -> int:
        """Run it to its end, and return its exit status.

        Args:
            progress: finds update and loss in a line of the log.
            tell: called with each of them; the process is ended, with status 0, when it returns True.

        Raises:
            Stopped: if `stop` was set.
        """
        with self.log.open("a") as out, self.errors.open("a") as errors:
            process = subprocess.Popen(
                self.command,
                stdout=out,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                env=dict(self.environment),
                start_new_session=True,
            )
        try:
            with self.log.open(encoding="utf-8", errors="replace") as lines:
                lines.seek(self.starts[self.log])
                line = ""
                while True:
                    line += lines.readline()
                    if line.endswith("\n"):
                        told, line = progress(line), ""
                        if told and tell(*told):
                            return 0
                    elif process.poll() is not None:
                        self.status = process.returncode
                        return self.status
                    elif self.stop.wait(POLL):
                        raise Stopped
        finally:
            _end(process)

    def complaint(self) -> str:
        """Why the process failed: what killed it, or its last line, on standard error if that has a file of its own."""
        if self.status < 0:
            memory = " (memory ran out?)" if self.status == -signal.SIGKILL else ""
            return f"killed by {signal.Signals(-self.status).name}{memory}"
        with self.errors.open(encoding="utf-8", errors="replace") as lines:
            lines.seek(self.starts[self.errors])
            written = lines.read().strip().splitlines()
        return written[-1] if written else "it wrote nothing"


def _end(process: subprocess.Popen) -> None:
    """End a process and its own, if it still runs."""
    if process.poll() is not None:
        return
    try:
        os.killpg(process.pid, 15)
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
