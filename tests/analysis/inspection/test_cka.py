import itertools

import pytest
import torch

from fairseq_ringformer.analysis.inspection.cka import MiniBatchCKA, unbiased_hsic
from tests.analysis.inspection.formulas import linear_cka, unbiased_cka


def features(rows=40, channels=6, seed=0, shift=0.0):
    torch.manual_seed(seed)
    return torch.randn(rows, channels) + shift


def related(rows=1200, seed=0):
    """Features of three levels, each the one before with noise and other channels."""
    torch.manual_seed(seed)
    levels = [torch.randn(rows, 8) @ torch.randn(8, 8)]
    for _ in range(2):
        levels.append(levels[-1] @ torch.randn(8, 12)[: levels[-1].size(1)] + torch.randn(rows, 12) * 4)
        levels[-1] = levels[-1][:, :8]
    return levels


def rotation(size, seed=1):
    torch.manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size)).Q


def estimate(first, second, batch_rows=512, pieces=1):
    cka = MiniBatchCKA(batch_rows)
    for part in zip(*(own.tensor_split(pieces) for own in (*first, *second))):
        cka.add(part[: len(first)], part[len(first) :])
    return cka


def test_hsic_is_the_mean_over_all_choices_of_four_rows():
    """Song et al.: HSIC_1 is the U-statistic of this kernel of four different rows."""
    x, y = features(7).double(), features(7, 3, seed=1).double()
    first, second = x @ x.T, y @ y.T
    terms = [
        first[i, j] * (second[i, j] + second[q, r] - 2 * second[i, q])
        for i, j, q, r in itertools.permutations(range(7), 4)
    ]
    expected = sum(terms) / len(terms)
    assert float(unbiased_hsic(first[None], second[None])) == pytest.approx(float(expected), rel=1e-9)


def test_one_mini_batch_of_all_rows_is_the_full_matrix():
    first, second = [features(shift=3.0), features(channels=4, seed=1)], [features(channels=9, seed=2), features()]
    found = estimate(first, second, pieces=5)
    assert found.rows == 0  # nothing has counted before the end is known
    matrix = found.result()
    assert found.rows == 40 and matrix.shape == (2, 2)
    for (i, x), (j, y) in itertools.product(enumerate(first), enumerate(second)):
        assert float(matrix[i, j]) == pytest.approx(unbiased_cka(x, y), rel=1e-9)
    assert float(matrix[0, 1]) == pytest.approx(1, abs=1e-5)  # it differs by a shift


def test_several_mini_batches_come_close_to_the_full_matrix():
    levels = related()
    matrix = estimate(levels, levels, batch_rows=128, pieces=7).result()
    full = torch.tensor([[unbiased_cka(x, y) for y in levels] for x in levels])
    assert 0.05 < float(full[0, 2]) < float(full[0, 1]) < 0.95
    torch.testing.assert_close(matrix.float(), full, atol=0.03, rtol=0)
    # With so many rows the biased formula is close as well.
    assert float(matrix[0, 1]) == pytest.approx(linear_cka(levels[0], levels[1]), abs=0.03)


def test_the_estimate_is_not_biased_by_small_mini_batches():
    """Independent features: the biased formula is far above zero in small mini-batches."""
    torch.manual_seed(3)
    x, y = torch.randn(4096, 16), torch.randn(4096, 16)
    assert linear_cka(x[:32], y[:32]) > 0.2
    assert abs(float(estimate([x], [y], batch_rows=32).result())) < 0.02


def test_itself():
    levels = related(1000)
    assert torch.allclose(estimate(levels, levels, 100).result().diagonal(), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("batch_rows", [64, 4096])
def test_invariant_to_rotation_scale_and_shift(batch_rows):
    levels = related(512)
    changed = [3.5 * own @ rotation(own.size(1)) - 2 for own in levels]
    before, after = (estimate(levels, other, batch_rows).result() for other in (levels, changed))
    torch.testing.assert_close(before, after, atol=1e-5, rtol=0)
    stretched = [own * torch.linspace(0.1, 3, own.size(1)) for own in levels]
    assert (estimate(levels, stretched, batch_rows).result().diagonal() < 0.97).all()


def test_pieces_make_no_difference():
    levels = related(700)
    assert estimate(levels, levels, 100, 1).result().equal(estimate(levels, levels, 100, 23).result())


def test_a_rest_counts_by_its_rows():
    levels = related(250)
    found = estimate(levels, levels[::-1], 100)
    total = [0, 0, 0]
    for rows in (slice(0, 100), slice(100, 200), slice(200, 250)):
        batch = torch.stack([(own := level[rows].double() - level[rows].double().mean(0)) @ own.T for level in levels])
        hsic = unbiased_hsic(batch, batch)
        parts = hsic.flip(1), hsic.diagonal(), hsic.diagonal().flip(0)
        total = [before + len(batch[0]) * part for before, part in zip(total, parts)]
    expected = total[0] / torch.outer(total[1], total[2]).sqrt()
    assert found.rows == 200
    torch.testing.assert_close(found.result(), expected)
    assert found.rows == 250 and found.result().equal(found.result())


def test_a_rest_that_is_too_small_is_left_out():
    levels = related(203)
    found = estimate(levels, levels, 100)
    whole = estimate([own[:200] for own in levels], [own[:200] for own in levels], 100)
    assert found.result().equal(whole.result()) and found.rows == 200


def test_constant_features_have_none():
    matrix = estimate([features(), torch.full((40, 5), 0.1)], [features()]).result()
    assert matrix.isnan().tolist() == [[False], [True]]


def test_rectangular():
    levels = related(200)
    assert estimate(levels, levels[:2]).result().shape == (3, 2)


def test_too_few_rows():
    with pytest.raises(ValueError, match="CKA needs at least 4 rows, there are 3"):
        estimate([features(3)], [features(3)]).result()
    with pytest.raises(ValueError, match="mini-batches of 2 rows: the unbiased estimator needs at least 4"):
        MiniBatchCKA(2)
    with pytest.raises(ValueError, match="levels have different numbers of rows: .3, 5."):
        MiniBatchCKA().add([features(3)], [features(5)])
