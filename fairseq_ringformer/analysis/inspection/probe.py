"""Can the states of two models be told apart? Classifiers as two-sample tests (Lopez-Paz and Oquab 2017).

The states of the second model are aligned to those of the first, a classifier learns whose a state is, and its accuracy
is taken on other examples: about one half where the two clouds of states are the same. Examples, sentences or images,
are cut into thirds, to align, to train and to test; both models' states of an example are in the same third. States of
a sentence are not independent, so that the interval is over examples.

A classifier sees one state at a time. What it tells apart are the distributions, not what the models make of a token,
which CKA compares; and once the means are made equal, a linear classifier has little left to go by. An accuracy is at
most what a better classifier, or more data, would reach; its interval is that of the test examples alone, for the
alignment and the classifier that were fitted.
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...errors import UserError
from .models import LoadedModel
from .states import PairedRows, level_counts, paired_rows

CLASSIFIERS = ("linear", "mlp")
LEAST_EXAMPLES = 30  # ten in each third
# Of the small non-linear classifier. It is not stopped early: small differences are learned after the first epochs.
HIDDEN, EPOCHS = 128, 40

Map = Callable[[np.ndarray], np.ndarray]


@dataclass
class PairedStates:
    """Two models' states of the same tokens.

    Attributes:
        first, second: by level, `(rows, channels)` in float32.
        sizes: `(examples,)`, how many rows each has; they follow each other.
    """

    first: list[np.ndarray]
    second: list[np.ndarray]
    sizes: np.ndarray

    def thirds(self) -> list[slice]:
        """The rows of three parts with equally many examples: to align, to train and to test."""
        ends = np.cumsum([0, *self.sizes])
        cuts = [int(ends[cut]) for cut in self.cuts()]
        return [slice(start, end) for start, end in zip(cuts, cuts[1:])]

    def cuts(self) -> list[int]:
        """Where the thirds begin and end, in examples."""
        return [len(self.sizes) * part // 3 for part in range(4)]


class Accuracy(NamedTuple):
    """Share of states that were told rightly, and its 95% interval over examples."""

    accuracy: float
    low: float
    high: float


def gather(
    models: Sequence[LoadedModel], batches: Iterable[Sequence], side: str | None, tokens: str, most: int, align: str
) -> dict[str, PairedStates]:
    """The states of each side of two models: of whole examples, as many as have at most `most` rows.

    Args:
        batches, side, tokens: see :func:`~.states.paired_rows`. They are read no further than is needed.
        align: how they will be aligned, see :func:`alignment`.

    Raises:
        UserError: if the models have different numbers of levels, or of channels with an alignment that cannot bridge
            that; or if there are no batches.
    """
    _check_levels(models, side)
    parts: defaultdict[str, list[PairedRows]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for batch in paired_rows(models, batches, side, tokens):
        for name, rows in batch.items():
            _check_widths(models, rows, align)
            if counts[name] < most:
                parts[name].append(rows)
            counts[name] += int(rows.sizes.sum())
        if min(counts.values()) >= most:
            break
    if not parts:
        raise UserError(f"the probe needs at least {LEAST_EXAMPLES} examples, there are none")
    return {name: _joined(gathered, most) for name, gathered in parts.items()}


def _check_levels(models: Sequence[LoadedModel], side: str | None) -> None:
    counts = [level_counts(loaded.model) for loaded in models]
    for name in counts[0]:
        if side in (None, name) and counts[0][name] != counts[1][name]:
            raise UserError(
                f"{models[0].path} has {counts[0][name]} levels in its {name}, {models[1].path} {counts[1][name]}: "
                "the probe compares levels of equal number"
            )


def _check_widths(models: Sequence[LoadedModel], rows: PairedRows, align: str) -> None:
    first, second = rows.first[0].size(1), rows.second[0].size(1)
    if first != second and align != "ridge":
        raise UserError(
            f"the states of {models[0].path} have {first} channels, those of {models[1].path} {second}: "
            "add --align ridge, which maps the one to the other"
        )


def _joined(parts: list[PairedRows], most: int) -> PairedStates:
    sizes = np.concatenate([part.sizes.cpu().numpy() for part in parts])
    sizes = sizes[np.cumsum(sizes) <= most]
    rows = int(sizes.sum())
    first, second = (
        [np.concatenate([level.float().cpu().numpy() for level in levels])[:rows] for levels in zip(*own)]
        for own in ([part.first for part in parts], [part.second for part in parts])
    )
    return PairedStates(first, second, sizes)


def probe(states: PairedStates, align: str, seed: int, unit: str = "examples") -> Iterator[dict[str, Accuracy]]:
    """The accuracy of each of :data:`CLASSIFIERS`, level after level.

    Args:
        align: see :func:`alignment`.
        seed: of the non-linear classifier.
        unit: what to call examples.

    Raises:
        UserError: at once, if there are too few examples.
    """
    _check_enough(states, align, unit)
    return (_probe_level(*levels, states, align, seed) for levels in zip(states.first, states.second))


def _check_enough(states: PairedStates, align: str, unit: str) -> None:
    count, width = len(states.sizes), states.first[0].shape[1]
    if count < LEAST_EXAMPLES:
        raise UserError(
            f"the probe needs at least {LEAST_EXAMPLES} {unit}, there are {count}: add --examples or --rows"
        )
    width = max(width, states.second[0].shape[1])
    rows = states.thirds()[0].stop
    if align != "none" and rows <= width:
        raise UserError(
            f"to align states of {width} channels needs more rows than that, and a third of {count} {unit} has {rows}: "
            "add --examples or --rows"
        )


def _probe_level(
    first: np.ndarray, second: np.ndarray, states: PairedStates, align: str, seed: int
) -> dict[str, Accuracy]:
    aligning, training, test = states.thirds()
    maps = alignment(align, first[aligning], second[aligning])
    seen, unseen = (
        np.concatenate([own(rows[part]) for own, rows in zip(maps, (first, second))]) for part in (training, test)
    )
    sizes = states.sizes[states.cuts()[2] :]
    found = {}
    for name, classifier in _classifiers(seed).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged: its accuracy says what it has learned
            classifier.fit(seen, _labels(seen))
        right = classifier.predict(unseen) == _labels(unseen)
        found[name] = accuracy(right.reshape(2, -1).mean(0), sizes)
    return found


def _labels(rows: np.ndarray) -> np.ndarray:
    """The first half of `rows` is the first model's."""
    return np.arange(len(rows)) >= len(rows) // 2


def _classifiers(seed: int) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    mlp = MLPClassifier((HIDDEN,), max_iter=EPOCHS, random_state=seed)
    classifiers = (LogisticRegression(max_iter=300), mlp)
    return {name: make_pipeline(StandardScaler(), own) for name, own in zip(CLASSIFIERS, classifiers)}


def accuracy(right: np.ndarray, sizes: np.ndarray) -> Accuracy:
    """The mean of `right` `(rows,)`, and its 95% interval over examples.

    Rows of an example are alike: the linearised variance of a ratio of sums says how many rows apart would be worth as much (where
    nothing varies, one for each example), and Wilson's interval is of so many. It does not vanish where all are right.

    Args:
        sizes: `(examples,)`, at least two, how many rows each has.
    """
    from scipy.stats import t

    sums = np.add.reduceat(right, np.cumsum(sizes) - sizes)
    examples, rows = len(sizes), sizes.sum()
    value = sums.sum() / rows
    variance = examples / (examples - 1) * np.square(sums - value * sizes).sum() / rows**2
    worth = value * (1 - value) / variance if variance else examples
    share = t.ppf(0.975, examples - 1) ** 2 / worth
    centre = (value + share / 2) / (1 + share)
    margin = np.sqrt(share * value * (1 - value) + share**2 / 4) / (1 + share)
    return Accuracy(float(value), max(0.0, float(centre - margin)), min(1.0, float(centre + margin)))


def alignment(kind: str, first: np.ndarray, second: np.ndarray) -> tuple[Map, Map]:
    """What maps states of either model to where they are compared, fitted to `first` and `second` `(rows, channels)`.

    ``procrustes``: both centred and scaled to mean square 1, the second then rotated (or reflected), which is all that
    linear CKA does not see. ``ridge``: the same, but the second mapped by ridge regression, its penalty chosen by
    leaving one row out. ``none``: as they are.
    """
    if kind == "none":
        return _float32, _float32
    to_first, to_second = _scaling(first), _scaling(second)
    if kind == "ridge":
        from sklearn.linear_model import RidgeCV

        regression = RidgeCV(np.logspace(-3, 4, 8)).fit(to_second(second), to_first(first))
        return lambda rows: _float32(to_first(rows)), lambda rows: _float32(regression.predict(to_second(rows)))
    from scipy.linalg import orthogonal_procrustes

    rotation, _ = orthogonal_procrustes(to_second(second), to_first(first))
    return lambda rows: _float32(to_first(rows)), lambda rows: _float32(to_second(rows) @ rotation)


def _float32(rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float32)


def _scaling(rows: np.ndarray) -> Map:
    rows = rows.astype(np.float64)
    mean = rows.mean(0)
    size = np.sqrt(np.square(rows - mean).mean()) or 1.0
    return lambda other: (other.astype(np.float64) - mean) / size
