"""The runs of a study, one after another or side by side: what is done stays, what was interrupted goes on."""

import hashlib
import json
import os
import queue
import shutil
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files import locked, write_text
from ..counts.paper import Row, Table
from .display import Display
from .process import MARK, Command, Stopped, end_leftovers
from .results import LABELS, RESULTS, append_result, read_results
from .speeds import LONGEST, PILOT, SKIP, Length, Speeds, Stopwatch
from .translation import Translation
from .vision import Vision

SPEEDS, SCORES, LOG = "speeds.json", "scores.json", "train.log"
LINES = 200  # of the log, at most about, in a training


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
    """Trains and scores rows of a table, with several seeds.

    Args:
        output: folder of the runs and of results.jsonl.
        kind: how to train and score a row.
        jobs: runs side by side; threads: of each.
        about: what the results say of code and machine.
        gpus: those that the runs take in turn, by number; none: processors.

    Raises:
        UserError: if another study runs there, or the results there are damaged.
    """

    def __init__(
        self,
        output: Path,
        table: Table,
        rows: Sequence[Row],
        seeds: Sequence[int],
        kind: Translation | Vision,
        length: Length,
        jobs: int,
        threads: int,
        about: Mapping[str, Any],
        gpus: Sequence[str] = (),
    ):
        self.output, self.table, self.rows, self.seeds, self.kind = Path(output).resolve(), table, rows, seeds, kind
        self.length, self.jobs, self.gpus = length, jobs, gpus
        self.about = {**about, "jobs": jobs, "threads": threads}
        self.stop, self.writing = threading.Event(), threading.Lock()
        # Two rows may be the same model: the second one waits for the first one's scores.
        self.alone: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self.output.mkdir(parents=True, exist_ok=True)
        complaint = f"another study runs in {output}: wait for it, or choose another --output"
        self.lock = locked(self.output / ".lock", complaint)
        end_leftovers(self.output)
        results = self.output / RESULTS
        known = read_results(results) if results.exists() else []
        self.results = {(entry["grid"], entry["row"], entry["seed"]): entry for entry in known}

    def run(self, display: Display) -> list[str]:
        """Do what is not done yet; the complaints of the runs that failed.

        Raises:
            UserError: if the budget does not hold one update, or results of other options are in the way.
            KeyboardInterrupt: after ending what runs.
        """
        slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(self.jobs):
            slots.put(slot)
        pool = ThreadPoolExecutor(self.jobs)
        try:
            updates = self._updates(pool, slots, display)
            runs = [self._run(row, seed, updates[row.name]) for seed in self.seeds for row in self.rows]
            self._check(runs)
            display.begin({run.name: run.updates for run in runs})
            jobs = [pool.submit(self._do, run, slots, display) for run in runs]
            return [complaint for done in as_completed(jobs) if (complaint := done.result())]
        finally:
            self.stop.set()
            pool.shutdown(cancel_futures=True)
            display.close()
            self.lock.close()

    def _run(self, row: Row, seed: int, updates: int) -> Run:
        warmup = round(updates * self.table.warmup / self.table.updates)
        return Run(row, seed, updates, warmup, _digest(self.kind.identity(row, seed, updates, warmup)))

    def _conditions(self, run: Run) -> str:
        """A digest of what all runs of a table must share to stand beside each other."""
        length = run.updates if self.length.equal == "updates" else ["time", self.length.budget]
        return _digest([self.kind.conditions(), length])

    def _check(self, runs: Sequence[Run]) -> None:
        wanted = {(self.table.name, run.row.name, run.seed): run for run in runs}
        conditions = self._conditions(runs[0])
        for key, entry in self.results.items():
            run = wanted.get(key)
            if key[0] != self.table.name or (run is not None and entry["key"] == run.key):
                continue
            if run is not None or entry["conditions"] != conditions:
                raise UserError(
                    f"{self.output / RESULTS} holds {entry['row']}, seed {entry['seed']} of {self.table.name}, measured "
                    f"with other options or data ({entry['updates']} updates then, {(run or runs[0]).updates} now): "
                    f"choose another --output, or the same options (--updates {entry['updates']}, say)"
                )

    def _updates(self, pool: ThreadPoolExecutor, slots: Any, display: Display) -> dict[str, int]:
        """Updates of each row."""
        if self.length.updates is not None:
            return {row.name: self.length.updates for row in self.rows}
        speeds, seconds, waiting = Speeds(self.output / SPEEDS), {}, {}
        for row in self.rows:
            # What a pilot measures depends on the flags, on the machine, and on what runs beside it.
            where = [self.about[name] for name in ("machine", "jobs", "threads")]
            key = _digest([self.kind.identity(row, 1, PILOT, 1), *where])
            if key in speeds.known:
                seconds[row.name] = speeds.known[key]
            else:
                waiting[pool.submit(self._measure, row, slots, display)] = (row, key)
        for done in as_completed(waiting):
            row, key = waiting[done]
            seconds[row.name] = done.result()
            speeds.keep(key, seconds[row.name])
        return self.length.divide(seconds)

    def _measure(self, row: Row, slots: Any, display: Display) -> float:
        """Seconds per update of a row, with other pilots beside it as long as there are any."""
        folder = self.output / "runs" / f"pilot-{row.arch}-{_digest(row.name)[:8]}"
        slot = slots.get()
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            watch = Stopwatch(SKIP, PILOT, min(LONGEST, max(self.length.budget, 1.0)))
            words = self.kind.pilot(row, 10 * PILOT, folder)
            command = Command(words, folder / LOG, self._environment(slot), self.stop)
            display.note(f"measuring how fast {row.name} trains")
            status = command.run(self.kind.progress, watch.tell)
            if status or watch.per_update is None:
                raise UserError(f"{row.name} does not train: {command.complaint()} (see {folder / LOG})")
            shutil.rmtree(folder)
            return watch.per_update
        finally:
            slots.put(slot)

    def _environment(self, slot: int) -> dict[str, str]:
        environment = {
            **os.environ,
            MARK: str(self.output),
            "OMP_NUM_THREADS": str(self.about["threads"]),
            "PYTHONWARNINGS": "ignore::FutureWarning,ignore::UserWarning",
        }
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        return environment

    def _do(self, run: Run, slots: Any, display: Display) -> str | None:
        """Train and score one run, unless that is done; what went wrong, if something did."""
        before = self.results.get((self.table.name, run.row.name, run.seed))
        if before is not None:
            display.tell(run.name, f"done before: {self._summary(before)}", run.updates)
            return None
        slot = slots.get()
        try:
            if self.stop.is_set():
                return None
            with self.alone[run.key]:
                figures = self._figures(run, slot, display)
            entry = {**self._describe(run), **figures}
            with self.writing:
                append_result(self.output / RESULTS, entry)
            display.tell(run.name, f"done: {self._summary(entry)}", run.updates)
        except Stopped:
            display.tell(run.name, "interrupted")
        except Exception as error:  # whatever it is, the other runs go on
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            complaint = f"{run.name}: {kind}{error}"
            display.tell(run.name, "failed")
            display.note(complaint)  # now, and at the end of a queue that may take days
            return complaint
        finally:
            slots.put(slot)
        return None

    def _figures(self, run: Run, slot: int, display: Display) -> dict[str, Any]:
        """What was measured of a run, and on which machine; from scores.json if the run stands in another table, too."""
        folder = self.output / "runs" / f"{run.row.arch}-seed{run.seed}-{run.key[:8]}"
        scores = folder / SCORES
        if scores.exists():
            return json.loads(scores.read_text(encoding="utf-8"))
        folder.mkdir(parents=True, exist_ok=True)
        environment = self._environment(slot)
        # A trainer that is called once more at its end would go on.
        if not self.kind.trained(folder, run.updates):
            self._train(run, folder, environment, display)
        display.tell(run.name, "scoring", run.updates)

        def call(words: list[str], log: Path) -> None:
            log.unlink(missing_ok=True)
            command = Command(words, log, environment, self.stop, log.with_suffix(".errors"))
            if command.run():
                raise UserError(f"{words[2]} failed: {command.complaint()} (see {log})")

        figures = {**self.kind.finish(folder, call), "folder": str(folder.relative_to(self.output)), **self.about}
        write_text(scores, json.dumps(figures))
        return figures

    def _train(self, run: Run, folder: Path, environment: Mapping[str, str], display: Display) -> None:
        every = max(1, run.updates // LINES)
        words = self.kind.command(run.row, run.seed, run.updates, run.warmup, folder, every)
        display.tell(run.name, "training")
        command = Command(words, folder / LOG, environment, self.stop)
        failed = command.run(self.kind.progress, lambda update, loss: display.advance(run.name, update, loss))
        # fairseq may abort in its very last act, with its work done and saved.
        if failed and not self.kind.trained(folder, run.updates):
            raise UserError(f"training failed: {command.complaint()} (see {folder / LOG})")

    def _describe(self, run: Run) -> dict[str, Any]:
        """What the line of a run says besides its figures."""
        return {
            "grid": self.table.name,
            "row": run.row.name,
            "seed": run.seed,
            "arch": run.row.arch,
            "updates": run.updates,
            "warmup": run.warmup,
            f"published_{self.kind.metric}": run.row.score,
            **self.kind.describe(),
            "key": run.key,
            "conditions": self._conditions(run),
        }

    def _summary(self, entry: Mapping[str, Any]) -> str:
        return f"{LABELS[self.kind.metric]} {entry[self.kind.metric]:.2f}, {entry['seconds']:.0f} s of training"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
