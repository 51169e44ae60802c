"""One training in a process of its own, watched through its log."""

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable, List, Mapping, Optional, Tuple

import psutil

PID = "running.json"
POLL = 0.1  # seconds
Progress = Callable[[str], Optional[Tuple[int, float]]]


class Stopped(Exception):
    """The study was interrupted."""


def end_leftover(folder: Path) -> None:
    """End the process that an earlier study, killed itself, has left training in `folder`."""
    path = folder / PID
    try:
        left = json.loads(path.read_text())
        process = psutil.Process(left["pid"])
        if process.create_time() == left["created"]:
            for own in [*process.children(recursive=True), process]:
                own.kill()
            process.wait(10)
    except (OSError, ValueError, KeyError, psutil.Error):
        pass
    path.unlink(missing_ok=True)


class Training:
    """A command that trains; its output is added to `log`.

    Args:
        progress: finds update and loss in a line of the log.
        stop: ends the process when it is set.
    """

    def __init__(
        self, command: List[str], log: Path, environment: Mapping[str, str], progress: Progress, stop: threading.Event
    ):
        self.command, self.log, self.environment, self.progress, self.stop = command, log, environment, progress, stop
        self.start = log.stat().st_size if log.exists() else 0

    def run(self, tell: Callable[[int, float], bool]) -> int:
        """Run it to its end, and return its exit status.

        Args:
            tell: called with each update and its loss as the log tells them; the process ends when it returns True.

        Raises:
            Stopped: if `stop` was set.
        """
        with self.log.open("a") as out:
            process = subprocess.Popen(
                self.command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=dict(self.environment), start_new_session=True,
            )
        pid = self.log.parent / PID
        try:
            pid.write_text(json.dumps({"pid": process.pid, "created": psutil.Process(process.pid).create_time()}))
            with self.log.open(encoding="utf-8", errors="replace") as lines:
                lines.seek(self.start)
                line = ""
                while True:
                    line += lines.readline()
                    if line.endswith("\n"):
                        found, line = self.progress(line), ""
                        if found and tell(*found):
                            return 0
                    elif process.poll() is not None:
                        return process.returncode
                    elif self.stop.wait(POLL):
                        raise Stopped
        finally:
            _end(process)
            pid.unlink(missing_ok=True)

    def complaint(self) -> str:
        """The last line that the process has written."""
        with self.log.open(encoding="utf-8", errors="replace") as lines:
            lines.seek(self.start)
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


class Stopwatch:
    """Seconds per update, from when updates were told of.

    Args:
        skip: first updates, which are slow.
        updates: as many are enough, if they took `least` seconds: the log is read at intervals.
        seconds: of measuring are enough, once there are two updates.
    """

    def __init__(self, skip: int, updates: int, seconds: float, least: float = 3.0):
        self.skip, self.updates, self.seconds, self.least = skip, updates, seconds, least
        self.begun = time.monotonic()
        self.told: List[Tuple[int, float]] = []

    def tell(self, update: int, loss: float) -> bool:
        """Whether it is enough."""
        now = time.monotonic()
        self.told.append((update, now))
        many = update >= self.skip + self.updates and now - self._measured()[0][1] >= self.least
        return (many or now - self.begun > self.seconds) and self.per_update is not None

    def _measured(self) -> List[Tuple[int, float]]:
        """What was told after the first updates, or all if there is no more."""
        return [pair for pair in self.told if pair[0] >= self.skip] if len(self.told) > self.skip + 1 else self.told

    @property
    def per_update(self) -> Optional[float]:
        """None if fewer than two updates were told of."""
        told = self._measured()
        if len(told) < 2:
            return None
        (first, since), (last, now) = told[0], told[-1]
        return (now - since) / (last - first)
