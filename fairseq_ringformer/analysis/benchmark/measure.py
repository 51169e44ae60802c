"""Taking turns, and what the times say: medians, their ratio to the baseline's, and its spread."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy


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
    works: Sequence[Callable[[], Any]], rounds: int, pause: float, after_turn: Callable[[], Any]
) -> list[list[float]]:
    """Run every work once per round, in turn.

    Args:
        works: what each candidate does in a round; it returns when its work is done.
        rounds: rounds that are timed; one more before them warms up.
        pause: seconds before every turn, for the threads of another library to stop waiting for more work.
        after_turn: called after every run, for a progress bar.

    Returns:
        seconds, by candidate and round, warm-up excluded.
    """
    seconds: list[list[float]] = [[] for _ in works]
    for order in turns(len(works), 1 + rounds):
        for index in order:
            time.sleep(pause)
            started = time.perf_counter()
            works[index]()
            seconds[index].append(time.perf_counter() - started)
            after_turn()
    return [own[1:] for own in seconds]


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


def sizes(measure: str, setting: str, values: dict[str, float]) -> list[Result]:
    """Results in bytes of a measure without rounds, in which less is better; the first of `values` is the baseline."""
    baseline = next(iter(values.values()))
    return [
        Result(measure, setting, name, "bytes", value, value / baseline if baseline else None, more_is_better=False)
        for name, value in values.items()
    ]
