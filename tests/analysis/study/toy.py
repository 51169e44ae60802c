"""A kind of study whose trainings are a few lines of Python, so that queue and restarts are tested in seconds.

As a script: `toy.py OUTPUT UPDATES PAUSE [POINT]` runs a study of two rows with two seeds; at POINT it kills itself with
SIGKILL, which nothing can catch: its processes are left behind.
"""

import json
import os
import signal
import sys
from pathlib import Path

from fairseq_ringformer.analysis.counts.paper import Row, Table
from fairseq_ringformer.analysis.study import queue
from fairseq_ringformer.analysis.study.display import Display
from fairseq_ringformer.analysis.study.queue import Study
from fairseq_ringformer.analysis.study.speeds import Length

TABLE = Table(
    "toy",
    "A table of toys",
    "translation",
    "fast",
    100,
    10,
    {},
    (Row("fast", "fast", "toy_fast", score=2.0), Row("slow", "slow", "toy_slow", score=1.0)),
)
ABOUT = {"commit": "0" * 40, "versions": {"toy": "1"}, "machine": "a desk"}

# Counts to the number of updates, a file being its checkpoint; says so as a log would.
TRAINING = """
import os, pathlib, sys, time
checkpoint, updates, pause = pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
update = int(checkpoint.read_text()) if checkpoint.exists() else 0
while True:  # tested after the update, as by fairseq-train
    time.sleep(pause)
    update += 1
    pathlib.Path(f"{checkpoint}.new").write_text(str(update))
    os.replace(f"{checkpoint}.new", checkpoint)
    print("update", update, 1 / update, flush=True)
    if update >= updates:
        break
"""


class Toy:
    """Trains by counting; its score is made of row, seed and updates."""

    metric = "bleu"

    def __init__(self, pauses=None, broken=()):
        self.pauses, self.broken = pauses or {"fast": 0.01, "slow": 0.03}, broken

    def identity(self, row, seed, updates, warmup):
        return {"row": row.name, "seed": seed, "updates": updates, "warmup": warmup}

    def conditions(self):
        return ["nowhere"]

    def describe(self):
        return {"data": "nowhere"}

    def command(self, row, seed, updates, warmup, folder, every):
        if row.name in self.broken:
            return [sys.executable, "-c", "import sys; sys.exit('no such toy')"]
        return [sys.executable, "-c", TRAINING, str(folder / "checkpoint"), str(updates), str(self.pauses[row.name])]

    def pilot(self, row, updates, folder):
        return self.command(row, 1, updates, 0, folder, 1)

    @staticmethod
    def progress(line):
        words = line.split()
        return (int(words[1]), float(words[2])) if words[:1] == ["update"] else None

    def trained(self, folder, updates):
        """As a real trainer, the toy would go on where it ought to have ended."""
        checkpoint = folder / "checkpoint"
        return checkpoint.exists() and int(checkpoint.read_text()) >= updates

    def finish(self, folder, call):
        call(
            [sys.executable, "-c", f"import time; time.sleep({min(self.pauses.values())}); print('scored')"],
            folder / "score.log",
        )
        assert (folder / "score.log").read_text() == "scored\n"
        updates = int((folder / "checkpoint").read_text())
        return {
            "parameters": 7,
            "bleu": updates + len(folder.name) / 100,
            "chrf": 50.0,
            "seconds": 1.0,
            "curve": [[updates, 1.0]],
        }


def study(output, length, seeds=(1, 2), jobs=2, kind=None, table=TABLE):
    return Study(Path(output), table, table.rows, seeds, kind or Toy(), length, jobs, 1, ABOUT)


def lines(output):
    """The results, in an order of their own."""
    entries = [json.loads(line) for line in (Path(output) / "results.jsonl").read_text().splitlines()]
    return sorted(entries, key=lambda entry: (entry["row"], entry["seed"]))


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(point):
    """Have this process die at the first of such points."""
    if point == "training":
        queue.Display.advance = lambda self, name, update, loss: update >= 5 and die()
    elif point == "scoring":
        Toy.finish = die
    elif point == "scored":
        queue.write_text = die
    elif point == "telling":
        queue.append_result = die


if __name__ == "__main__":
    pause = float(sys.argv[3])
    die_at((sys.argv[4:] or [None])[0])
    complaints = study(sys.argv[1], Length(updates=int(sys.argv[2])), kind=Toy({"fast": pause, "slow": pause})).run(
        Display()
    )
    sys.exit("\n".join(complaints) or None)
