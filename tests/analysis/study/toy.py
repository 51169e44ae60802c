"""A kind of study whose trainings are a few lines of Python, so that queue and restarts are tested in seconds.

As a script: `toy.py OUTPUT UPDATES PAUSE [JOBS]` runs a study of two rows with two seeds.
"""

import json
import sys
from pathlib import Path

from fairseq_ringformer.analysis.paper import Row, Table
from fairseq_ringformer.analysis.study.queue import Length, Study
from fairseq_ringformer.analysis.study.states import States

TABLE = Table(
    "toy", "A table of toys", "translation", "fast", 100, 10, {},
    (Row("fast", "fast", "toy_fast", score=2.0), Row("slow", "slow", "toy_slow", score=1.0)),
)
ABOUT = {"commit": "0" * 40, "versions": {"toy": "1"}, "machine": "a desk"}

# Counts to the number of updates, a file being its checkpoint; says so as a log would.
TRAINING = """
import pathlib, sys, time
checkpoint, updates, pause = pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
update = int(checkpoint.read_text()) if checkpoint.exists() else 0
while update < updates:
    time.sleep(pause)
    update += 1
    checkpoint.write_text(str(update))
    print("update", update, 1 / update, flush=True)
"""


class Toy:
    """Trains by counting; its score is made of row, seed and updates."""

    metric = "bleu"

    def __init__(self, pauses=None, broken=()):
        self.pauses, self.broken = pauses or {"fast": 0.01, "slow": 0.03}, broken

    def identity(self, row, seed, updates, warmup):
        return {"row": row.name, "seed": seed, "updates": updates, "warmup": warmup}

    def describe(self):
        return {"data": "nowhere"}

    def parameters(self, row):
        return {"parameters": 7}

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

    def finish(self, folder, environment):
        updates = int((folder / "checkpoint").read_text())
        return {"bleu": updates + len(folder.name) / 100, "chrf": 50.0, "seconds": 1.0, "curve": [[updates, 1.0]]}


def study(output, length, seeds=(1, 2), jobs=2, kind=None, table=TABLE):
    return Study(Path(output), table, table.rows, seeds, kind or Toy(), length, jobs, 1, ABOUT)


def lines(output):
    """The results, in an order of their own."""
    entries = [json.loads(line) for line in (Path(output) / "results.jsonl").read_text().splitlines()]
    return sorted(entries, key=lambda entry: (entry["row"], entry["seed"]))


if __name__ == "__main__":
    pause = float(sys.argv[3])
    toys = Toy({"fast": pause, "slow": pause})
    complaints = study(sys.argv[1], Length(updates=int(sys.argv[2])), jobs=int((sys.argv[4:] or ["2"])[0]), kind=toys).run(States())
    sys.exit("\n".join(complaints) or None)
