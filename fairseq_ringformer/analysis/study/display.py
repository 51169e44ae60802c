"""What a study tells while it runs: a line for each run."""

import sys
import threading
from collections.abc import Mapping

from tqdm import tqdm

EVERY = 0.1  # share of a run after which a line tells of it, where there is no terminal


class Display:
    """A bar for each run where standard error is a terminal, else a line at every change."""

    def __init__(self):
        self.terminal = sys.stderr.isatty()
        self.lock = threading.Lock()
        self.bars: dict[str, tqdm] = {}
        self.lengths: Mapping[str, int] = {}
        self.told: dict[str, int] = {}

    def begin(self, lengths: Mapping[str, int]) -> None:
        """The names of the runs and their updates."""
        self.lengths = lengths
        width = max(map(len, lengths), default=0)
        if self.terminal:
            layout = "{desc} |{bar:20}| {n_fmt}/{total_fmt} {postfix}"
            for line, (name, length) in enumerate(lengths.items()):
                self.bars[name] = tqdm(total=length, desc=name.ljust(width), position=line, bar_format=layout)
                self.bars[name].set_postfix_str("waiting")

    def note(self, text: str) -> None:
        with self.lock:
            tqdm.write(text, file=sys.stderr)

    def tell(self, name: str, state: str, update: int | None = None) -> None:
        """A new state of a run."""
        if not self.terminal:
            self.note(f"{name}: {state}")
            return
        with self.lock:
            bar = self.bars[name]
            if update is not None:
                bar.n = update
            bar.set_postfix_str(state)

    def advance(self, name: str, update: int, loss: float) -> bool:
        """How far a run is; never enough."""
        length = self.lengths[name]
        if self.terminal:
            self.tell(name, f"loss {loss:.2f}", update)
        elif update - self.told.get(name, 0) >= EVERY * length:
            self.told[name] = update
            self.note(f"{name}: update {update} of {length}, loss {loss:.2f}")
        return False

    def close(self) -> None:
        for bar in self.bars.values():
            bar.close()
