"""Taking turns, and what the times say: medians, their ratio to the baseline's, and its spread."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy

Work = Callable[[], None]


def turns(candidates: int, rounds: int) -> list[list[int]]:
    """Who runs when: each round has every candidate once, and every round begins with the next one.

    With two candidates that is A B, B A, A B ...; with more the order is rotated, so that none always goes first and
    none always follows the same one's heat.
    """
    orders = []
    for number in range(rounds):
        order = list(range(candidates))
        if candidates > 2 and (number // candidates) % 2:
            order.reverse()
        first = number % candidates
        orders.append(order[first:] + order[:first])
    return orders


def interleave(
    works: Sequence[Work],
    rounds: int,
    warmup: int = 1,
    pause: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
    after_turn: Callable[[], None] | None = None,
) -> list[list[float]]:
    """Run every work once per round, in turn.

    Args:
        works: what each candidate does in a round; it returns when its work is done.
        rounds: rounds that are timed; warmup: rounds before them that are not.
        pause: seconds before every turn, for the threads of another library to stop waiting for more work.
        after_turn: called after every run, for a progress bar.

    Returns:
        seconds, by candidate and round, warm-up excluded.
    """
    seconds: list[list[float]] = [[] for _ in works]
    for number, order in enumerate(turns(len(works), warmup + rounds)):
        for index in order:
            time.sleep(pause)
            started = clock()
            works[index]()
            elapsed = clock() - started
            if number >= warmup:
                seconds[index].append(elapsed)
            if after_turn is not None:
                after_turn()
    return seconds


@dataclass
class Result:
    """One candidate in one measure.

    Attributes:
        measure: the benchmark's name of it, or "peak share".
        setting: what tells the rows of a measure apart, such as "beam 5, batch 32".
        candidate: name.
        unit: of `value`.
        value: median over the rounds, or the one figure there is.
        ratio: `value` to the baseline's.
        spread: middle half of the rounds' own ratios, as (lower, upper) quartile; None where there are no rounds.
        more_is_better: true for speeds.
        rounds: the raw values, one per round; speeds, not seconds.
        seconds: the raw times, one per round.
        extra: further figures of this candidate.
    """

    measure: str
    setting: str
    candidate: str
    unit: str
    value: float
    ratio: float | None
    spread: tuple[float, float] | None = None
    more_is_better: bool = True
    rounds: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


def speeds(
    measure: str, setting: str, unit: str, names: Sequence[str], seconds: Sequence[Sequence[float]], work: float
) -> list[Result]:
    """Results of candidates that all did the same `work` (in the numerator of `unit`) in `seconds` per round.

    The ratio is that of medians; the spread is that of the ratios within each round, in which both met one machine.
    """
    times = numpy.asarray(seconds, dtype=float)
    medians = numpy.median(times, axis=1)
    results = []
    for name, rounds, median in zip(names, times, medians):
        lower, upper = numpy.quantile(times[0] / rounds, (0.25, 0.75)).tolist()
        value, ratio = float(work / median), float(medians[0] / median)
        figures = {"rounds": (work / rounds).tolist(), "seconds": rounds.tolist()}
        results.append(Result(measure, setting, name, unit, value, ratio, (lower, upper), **figures))
    return results


def sizes(
    measure: str, setting: str, values: dict[str, float], extras: Mapping[str, dict[str, Any]] = MappingProxyType({})
) -> list[Result]:
    """Results in bytes of a measure without rounds, in which less is better; the first of `values` is the baseline.

    Args:
        extras: further figures, by candidate.
    """
    baseline = next(iter(values.values()))
    return [
        Result(
            measure,
            setting,
            name,
            "bytes",
            value,
            value / baseline if baseline else None,
            more_is_better=False,
            extra=extras.get(name, {}),
        )
        for name, value in values.items()
    ]
