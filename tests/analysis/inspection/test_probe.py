import numpy as np
import pytest

from fairseq_ringformer.analysis.inspection.probe import PairedStates, accuracy, probe
from fairseq_ringformer.errors import UserError

WIDTH = 6


def cloud(seed, examples=240, width=WIDTH, spread=(0.3, 3)):
    """Rows of examples of one to six rows each, alike within an example, in a cloud with a centre and long axes."""
    random = np.random.default_rng(seed)
    sizes = np.random.default_rng(0).integers(1, 7, examples)
    rows = np.repeat(random.standard_normal((examples, width)), sizes, axis=0) + random.standard_normal(
        (sizes.sum(), width)
    )
    return (rows * np.geomspace(*spread, width) + 2).astype(np.float32), sizes


def rotation(width=WIDTH, seed=5):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width))).Q.astype(np.float32)


def told(first, second, sizes, align="procrustes", seed=1):
    """The accuracies at the one level that there is."""
    (found,) = probe(PairedStates([first], [second], sizes), align, seed)
    return found


def at_chance(found):
    return all(own.low <= 0.5 <= own.high and abs(own.accuracy - 0.5) < 0.05 for own in found.values())


@pytest.mark.parametrize("align", ["procrustes", "ridge", "none"])
def test_a_model_and_itself(align):
    rows, sizes = cloud(1)
    assert at_chance(told(rows, rows, sizes, align))


def test_a_rotation_alone_does_not_count():
    rows, sizes = cloud(1)
    turned = 3 * rows @ rotation() - 4
    assert at_chance(told(rows, turned, sizes))
    assert all(found.low > 0.9 for found in told(rows, turned, sizes, "none").values())


def test_a_linear_map_does_not_count_for_ridge_regression():
    """To another width; and the other way as well it would take more than a rotation."""
    rows, sizes = cloud(1)
    stretched = rows @ np.random.default_rng(2).standard_normal((WIDTH, WIDTH + 3)).astype(np.float32)
    assert at_chance(told(rows, stretched, sizes, "ridge"))
    assert told(rows, stretched[:, :WIDTH], sizes)["mlp"].low > 0.55


def test_states_that_have_nothing_in_common():
    """Clouds of other shapes; with equal means the linear classifier has little to go by."""
    (first, sizes), (second, _) = cloud(1), cloud(2, spread=(1, 1))
    for align in ("procrustes", "ridge"):
        found = told(first, second, sizes, align)
        assert found["mlp"].low > 0.6 and found["mlp"].low > found["linear"].high
    assert found == told(first, second, sizes, align)


def test_what_is_learned_by_heart_does_not_count():
    """Of 40 channels and about 100 rows a classifier learns by heart whose each is; two draws of one cloud are the same."""
    (first, sizes), (second, _) = (cloud(seed, examples=90, width=40, spread=(1, 1)) for seed in (1, 2))
    assert all(found.low <= 0.5 <= found.high for found in told(first, second, sizes, "none").values())


def test_no_example_lies_in_two_thirds():
    sizes = np.array([2, 3, 1, 4, 2, 2, 5])
    states = PairedStates([], [], sizes)
    assert states.cuts() == [0, 2, 4, 7]
    assert states.thirds() == [slice(0, 5), slice(5, 10), slice(10, 19)]


def test_the_interval_is_over_examples():
    """Rows that repeat those of their example tell nothing new; single rows have the interval of a mean."""
    random = np.random.default_rng(3)
    right, ones = random.integers(0, 2, 400).astype(float), np.ones(400, dtype=int)
    found = accuracy(right, ones)
    assert found.accuracy == right.mean()
    # Wilson's: where the mean lies 1.966 deviations of the bound away, Student's t with 399 degrees of freedom.
    share = 1.966**2 / 399
    bounds = np.roots([1 + share, -(2 * right.mean() + share), right.mean() ** 2])
    assert (found.low, found.high) == pytest.approx(sorted(bounds), abs=1e-5)
    assert accuracy(np.repeat(right, 5), 5 * ones) == pytest.approx(found)


def test_the_interval_holds_the_truth():
    """About 19 of 20 times, where examples are easy or hard as a whole."""
    random = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        sizes = random.integers(1, 20, 60)
        share = np.repeat(random.choice([0.4, 0.8], 60), sizes)
        found = accuracy((random.random(sizes.sum()) < share).astype(float), sizes)
        held += found.low <= 0.6 <= found.high
    assert 0.91 < held / 400 < 0.99


def test_the_interval_holds_the_truth_near_one():
    """Where a normal interval has no width, as if ten images that are right were proof."""
    random = np.random.default_rng(5)
    found = [accuracy((random.random(10) < 0.95).astype(float), np.ones(10, dtype=int)) for _ in range(400)]
    assert sum(one.low <= 0.95 <= one.high for one in found) > 0.91 * 400
    assert all(one.low <= one.accuracy <= one.high + 1e-12 for one in found)


def test_too_few():
    rows, sizes = cloud(1, examples=29)
    with pytest.raises(UserError, match="the probe needs at least 30 images, there are 29: add --examples or --rows"):
        probe(PairedStates([rows], [rows], sizes), "none", 1, "images")
    rows, sizes = cloud(1, examples=30, width=64)
    with pytest.raises(UserError, match="to align states of 64 channels needs more rows than that, and a third of 30"):
        probe(PairedStates([rows], [rows], sizes), "procrustes", 1)
