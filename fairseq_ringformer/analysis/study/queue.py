"""The runs of a study: which there are, how long each is, and doing them one after another or side by side."""

import fcntl
import hashlib
import json
import os
import queue
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from ..paper import Row, Table
from .process import Stopped, Stopwatch, Training, end_leftover
from .results import RESULTS, append_result, read_results
from .states import States
from .translation import Translation
from .vision import Vision

SPEEDS, SCORES = "speeds.json", "scores.json"
# Updates in which a run's speed is measured, after those that are slow, and the longest time for it in seconds.
SKIP, PILOT, LONGEST = 3, 30, 90.0
LINES = 200  # of the log, at most about, in a training


@dataclass(frozen=True)
class Length:
    """How long runs train: so many `updates`, or as many as fit into `budget` seconds.

    Attributes:
        equal: with a budget, ``updates`` (as many for all as the slowest row can do) or ``time`` (each row its own).
    """

    updates: Optional[int] = None
    budget: Optional[float] = None
    equal: str = "updates"


@dataclass(frozen=True)
class Run:
    """A row with a seed, and how long it trains."""

    row: Row
    seed: int
    updates: int
    warmup: int
    key: str

    @property
    def name(self) -> str:
        return f"{self.row.name}, seed {self.seed}"


class Study:
    """Trains and scores rows of a table, with several seeds; what is done already stays.

    Args:
        output: folder of the runs and of results.jsonl.
        kind: how to train and score a row.
        jobs: runs side by side; threads: of each.
        about: what the results say of code and machine.
        gpus: those that the runs take in turn, by number; none: processors.

    Raises:
        ValueError: if another study runs there, or results are there that these options do not give.
    """

    def __init__(
        self, output: Path, table: Table, rows: Sequence[Row], seeds: Sequence[int], kind: Union[Translation, Vision],
        length: Length, jobs: int, threads: int, about: Mapping[str, Any],
        gpus: Sequence[str] = (),
    ):
        self.output, self.table, self.rows, self.seeds, self.kind = Path(output), table, rows, seeds, kind
        self.length, self.jobs, self.threads, self.about, self.gpus = length, jobs, threads, dict(about), gpus
        self.stop = threading.Event()
        self.writing = threading.Lock()
        self.output.mkdir(parents=True, exist_ok=True)
        self.lock = (self.output / ".lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"another study runs in {output}: wait for it, or choose another --output") from None
        results = self.output / RESULTS
        self.results = {_place(entry): entry for entry in read_results(results)} if results.exists() else {}

    def run(self, states: States) -> List[str]:
        """Do what is not done yet; the complaints of the runs that failed.

        Raises:
            ValueError: if the budget does not hold one update, or results of other options are in the way.
            KeyboardInterrupt: after ending what runs.
        """
        slots: "queue.SimpleQueue[int]" = queue.SimpleQueue()
        for slot in range(self.jobs):
            slots.put(slot)
        pool = ThreadPoolExecutor(self.jobs)
        try:
            updates = self._updates(pool, slots, states)
            runs = [self._run(row, seed, updates[row.name]) for seed in self.seeds for row in self.rows]
            self._check(runs)
            states.begin({run.name: run.updates for run in runs})
            jobs = {pool.submit(self._do, run, slots, states): run for run in runs}
            return [complaint for done in as_completed(jobs) if (complaint := done.result())]
        finally:
            self.stop.set()
            pool.shutdown(cancel_futures=True)
            states.close()
            self.lock.close()

    def _run(self, row: Row, seed: int, updates: int) -> Run:
        warmup = round(updates * self.table.warmup / self.table.updates)
        key = _digest(self.kind.identity(row, seed, updates, warmup))
        return Run(row, seed, updates, warmup, key)

    def _check(self, runs: Sequence[Run]) -> None:
        for run in runs:
            entry = self.results.get((self.table.name, run.row.name, run.seed))
            if entry is not None and entry.get("key") != run.key:
                raise ValueError(
                    f"{self.output / RESULTS} holds {run.name} of {self.table.name} already, measured with other options "
                    f"or data ({entry['updates']} updates then, {run.updates} now): choose another --output, or the same "
                    "options"
                )

    def _updates(self, pool: ThreadPoolExecutor, slots: Any, states: States) -> Dict[str, int]:
        """Updates of each row."""
        if self.length.updates is not None:
            return {row.name: self.length.updates for row in self.rows}
        path = self.output / SPEEDS
        known = json.loads(path.read_text()) if path.exists() else {}
        speeds: Dict[str, float] = {}
        waiting = {}
        for row in self.rows:
            # What a pilot measures depends on the flags and on what runs beside it.
            key = _digest([self.kind.identity(row, 1, PILOT, 1), self.jobs, self.threads])
            if key in known:
                speeds[row.name] = known[key]
            else:
                waiting[pool.submit(self._measure, row, slots, states)] = (row, key)
        for done in as_completed(waiting):
            row, key = waiting[done]
            speeds[row.name] = known[key] = done.result()
            path.write_text(json.dumps(known, indent=1))
        slowest = max(speeds, key=speeds.__getitem__)
        if self.length.budget < speeds[slowest]:
            raise ValueError(
                f"the budget of {self.length.budget:g} s is too small: one update of {slowest} takes "
                f"{speeds[slowest]:.2f} s here; give more, or train with smaller batches"
            )
        if self.length.equal == "updates":
            return {row.name: int(self.length.budget / speeds[slowest]) for row in self.rows}
        return {row.name: int(self.length.budget / speeds[row.name]) for row in self.rows}

    def _measure(self, row: Row, slots: Any, states: States) -> float:
        """Seconds per update of a row, while as many pilots run as runs will."""
        folder = self.output / "runs" / f"pilot-{row.arch}-{_digest(row.name)[:8]}"
        slot = slots.get()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            end_leftover(folder)
            (folder / "train.log").unlink(missing_ok=True)
            watch = Stopwatch(SKIP, PILOT, min(LONGEST, max(self.length.budget, 1.0)))
            command = self.kind.pilot(row, 10 * PILOT, folder)
            training = Training(command, folder / "train.log", self._environment(slot), self.kind.progress, self.stop)
            states.note(f"measuring how fast {row.name} trains")
            status = training.run(watch.tell)
            if status or watch.per_update is None:
                raise ValueError(f"{row.name} does not train: {training.complaint()} (see {folder / 'train.log'})")
            shutil.rmtree(folder)
            return watch.per_update
        finally:
            slots.put(slot)

    def _environment(self, slot: int) -> Dict[str, str]:
        environment = {
            **os.environ, "OMP_NUM_THREADS": str(self.threads),
            "PYTHONWARNINGS": "ignore::FutureWarning,ignore::UserWarning",
        }
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        return environment

    def _do(self, run: Run, slots: Any, states: States) -> Optional[str]:
        """Train and score one run, unless that is done; what went wrong, if something did."""
        place = (self.table.name, run.row.name, run.seed)
        if place in self.results:
            states.tell(run.name, f"done before: {self._figure(self.results[place])}", run.updates)
            return None
        slot = slots.get()
        try:
            if self.stop.is_set():
                return None
            entry = {**self._describe(run), **self._figures(run, slot, states)}
            with self.writing:
                append_result(self.output / RESULTS, entry)
            states.tell(run.name, f"done: {self._figure(entry)}", run.updates)
        except Stopped:
            states.tell(run.name, "interrupted")
        except ValueError as error:
            states.tell(run.name, "failed")
            return f"{run.name}: {error}"
        finally:
            slots.put(slot)
        return None

    def _figures(self, run: Run, slot: int, states: States) -> Dict[str, Any]:
        folder = self.output / "runs" / f"{run.row.arch}-seed{run.seed}-{run.key[:8]}"
        scores = folder / SCORES
        if scores.exists():  # the same run stands in another table, too
            return json.loads(scores.read_text(encoding="utf-8"))
        folder.mkdir(parents=True, exist_ok=True)
        end_leftover(folder)
        every = max(1, run.updates // LINES)
        command = self.kind.command(run.row, run.seed, run.updates, run.warmup, folder, every)
        environment = self._environment(slot)
        states.tell(run.name, "training")
        training = Training(command, folder / "train.log", environment, self.kind.progress, self.stop)
        status = training.run(lambda update, loss: states.advance(run.name, update, loss))
        if status:
            why = training.complaint()
            raise ValueError(f"training ended with status {status}: {why} (see {folder / 'train.log'})")
        states.tell(run.name, "scoring", run.updates)
        figures = {**self.kind.parameters(run.row), **self.kind.finish(folder, environment)}
        figures["folder"] = str(folder.relative_to(self.output))
        partial = scores.with_name(SCORES + ".partial")
        partial.write_text(json.dumps(figures, ensure_ascii=False), encoding="utf-8")
        os.replace(partial, scores)
        return figures

    def _describe(self, run: Run) -> Dict[str, Any]:
        """What the line of a run says besides its figures."""
        return {
            "grid": self.table.name, "row": run.row.name, "seed": run.seed, "arch": run.row.arch,
            "updates": run.updates, "warmup": run.warmup, f"published_{self.kind.metric}": run.row.score, **self.kind.describe(),
            "threads": self.threads, "jobs": self.jobs, "key": run.key, **self.about,
        }

    def _figure(self, entry: Mapping[str, Any]) -> str:
        metric = self.kind.metric
        return f"{'BLEU' if metric == 'bleu' else 'top-1'} {entry[metric]:.2f}, {entry['seconds']:.0f} s of training"


def _place(entry: Mapping[str, Any]) -> tuple:
    return entry["grid"], entry["row"], entry["seed"]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def commit(folder: Path) -> Optional[str]:
    """The commit of the code in `folder`, with a plus if it was changed since; None if it is in no repository."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True)
        changed = subprocess.run(["git", "status", "--porcelain", "."], cwd=folder, capture_output=True, text=True)
    except OSError:
        return None
    return found.stdout.strip() + ("+" if changed.stdout.strip() else "") if found.returncode == 0 else None
