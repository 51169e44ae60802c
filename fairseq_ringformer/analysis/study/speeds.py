"""How fast rows train, measured once and kept, and how many updates fit into a budget."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError
from ...files import write_text

# Updates in which a speed is measured, after those that are slow, and the longest time for it in seconds.
SKIP, PILOT, LONGEST = 3, 30, 90.0


@dataclass(frozen=True)
class Length:
    """How long runs train: so many `updates`, or as many as fit into `budget` seconds.

    Attributes:
        equal: with a budget, ``updates`` (as many for all as the slowest row can do) or ``time`` (each row its own).
    """

    updates: int | None = None
    budget: float | None = None
    equal: str = "updates"

    def divide(self, seconds: Mapping[str, float]) -> dict[str, int]:
        """Updates of each row that fit into the budget.

        Args:
            seconds: per update, by row.

        Raises:
            UserError: if not one does.
        """
        slowest = max(seconds, key=seconds.__getitem__)
        if self.budget < seconds[slowest]:
            raise UserError(
                f"the budget of {self.budget:g} s is too small: one update of {slowest} takes {seconds[slowest]:.2f} s "
                "here; give more, or train with smaller batches"
            )
        if self.equal == "updates":
            return {row: int(self.budget / seconds[slowest]) for row in seconds}
        return {row: int(self.budget / each) for row, each in seconds.items()}


class Speeds:
    """A file of seconds per update, by what they depend on; a damaged one is begun anew."""

    def __init__(self, path: Path):
        self.path = path
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            self.known: dict[str, float] = {key: float(value) for key, value in content.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            self.known = {}

    def keep(self, key: str, seconds: float) -> None:
        self.known[key] = seconds
        write_text(self.path, json.dumps(self.known, indent=1))


class Stopwatch:
    """Seconds per update, from when updates were told of.

    Args:
        skip: first updates, which are slow.
        updates: as many are enough.
        seconds: since the first update are enough as well.
        least: seconds that what is measured must take: the log is read at intervals.
    """

    def __init__(self, skip: int, updates: int, seconds: float, least: float = 3.0):
        self.skip, self.updates, self.seconds, self.least = skip, updates, seconds, least
        self.told: list[tuple[int, float]] = []

    def tell(self, update: int, loss: float) -> bool:
        """Whether it is enough."""
        now = time.monotonic()
        self.told.append((update, now))
        many = update >= self.skip + self.updates or now - self.told[0][1] > self.seconds
        return many and now - self._measured()[0][1] >= self.least

    def _measured(self) -> list[tuple[int, float]]:
        """What was told after the first updates, or all if there is no more."""
        return [pair for pair in self.told if pair[0] >= self.skip] if len(self.told) > self.skip + 1 else self.told

    @property
    def per_update(self) -> float | None:
        """None if fewer than two updates were told of."""
        measured = self._measured()
        if len(measured) < 2:
            return None
        (first, since), (last, now) = measured[0], measured[-1]
        return (now - since) / (last - first)
