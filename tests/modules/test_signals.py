import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fairseq_ringformer.modules import (
    DiagonalSignals,
    FullRankSignals,
    LowRankSignals,
    Projection,
    StaticSignal,
    SummedSignals,
)
from fairseq_ringformer.modules.projection import fold

LEVELS = 3


def some_signals(kind, place, parts=1, in_dim=8, out_dim=8, levels=LEVELS):
    sizes = (levels, parts, in_dim, out_dim, place)
    makes = {"low-rank": lambda: LowRankSignals(*sizes, 3), "full-rank": lambda: FullRankSignals(*sizes)}
    makes["diagonal"] = lambda: DiagonalSignals(*sizes)
    makes["sum"] = lambda: SummedSignals([makes["low-rank"](), makes["diagonal"]()])
    signals = makes[kind]()
    for parameter in signals.parameters():
        nn.init.normal_(parameter)
    return signals


KINDS = ["low-rank", "full-rank", "diagonal", "sum"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "parts, place, out_dim",
    [(1, "after", 20), (1, "after", 5), (1, "before", 8), (2, "after", 8), (3, "after", 8), (3, "before", 8)],
)
def test_projections_are_the_equations_called_or_folded(kind, bias, parts, place, out_dim):
    """Eq. 6: W x + M x; eq. 7: W (x + M x); for every level and part."""
    torch.manual_seed(0)
    signals = some_signals(kind, place, parts, out_dim=out_dim)
    linear, x = Projection(8, parts * (20 if place == "before" else out_dim), bias=bias), torch.randn(2, 5, 8)
    weights = fold([linear] * LEVELS, signals)
    for level in range(LEVELS):
        expected = []
        for part, weight in enumerate(linear.weight.chunk(parts)):
            m = signals.matrix()[level, part]
            expected.append(x @ weight.T + x @ m.T if place == "after" else (x + x @ m.T) @ weight.T)
        expected = torch.cat(expected, dim=-1) + (linear.bias if bias else 0)
        torch.testing.assert_close(linear(x, signals.at(level)), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(F.linear(x, weights[level], linear.bias), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["after", "before"])
def test_levels_with_copies_of_their_own_fold_into_their_copy(kind, place):
    torch.manual_seed(0)
    first, second = Projection(8, 8), Projection(8, 8)
    signals = some_signals(kind, place)
    for level, (weight, linear) in enumerate(zip(fold([first, second, first], signals), (first, second, first))):
        torch.testing.assert_close(weight, signals.fold(linear.weight)[level])


@pytest.mark.parametrize("kind, place", [("low-rank", "after"), ("full-rank", "before")])
def test_a_new_signal_changes_nothing_and_has_gradients(kind, place):
    signals = LowRankSignals(2, 1, 8, 8, place, 2) if kind == "low-rank" else FullRankSignals(2, 1, 8, 8, place)
    linear, x = Projection(8, 8), torch.randn(5, 8)
    for level in range(2):
        out = linear(x, signals.at(level))
        assert torch.equal(out, linear(x))
        out.square().sum().backward()
    moved = signals.up if kind == "low-rank" else signals.weight
    assert moved.grad.abs().amax(dim=(1, 2, 3)).min() > 0


def test_a_diagonal_scales_every_channel_and_a_sum_adds():
    signals = some_signals("sum", "after", parts=2, in_dim=3, out_dim=5)
    low_rank, diagonal = signals.terms
    expected = torch.zeros(LEVELS, 2, 5, 3)
    for level, part, channel in itertools.product(range(LEVELS), range(2), range(3)):
        expected[level, part, channel, channel] = diagonal.weight[level, part, channel]
    assert torch.equal(diagonal.matrix(), expected)
    torch.testing.assert_close(signals.matrix(), low_rank.up @ low_rank.down + expected)
    signals.truncate(2)
    torch.testing.assert_close(signals.matrix(), low_rank.matrix() + expected[:2])


@pytest.mark.parametrize("rank", [0, 9])
def test_an_impossible_rank_is_refused(rank):
    with pytest.raises(ValueError, match=f"signal rank {rank} must lie between 1 and 8"):
        LowRankSignals(2, 1, 8, 8, "after", rank)


def test_a_signal_stands_after_or_before():
    with pytest.raises(ValueError, match="after or before its projection, not 'inter'"):
        LowRankSignals(2, 1, 8, 8, "inter", 2)
    with pytest.raises(ValueError, match="maps 8 channels to as many, not to 9"):
        FullRankSignals(2, 1, 8, 9, "before")


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("embed_dim", [8, 7])
def test_the_coordinate_table_is_the_formula(embed_dim, dtype, tolerance):
    """P^t[i, 2j] = sin(i / 10000^(2j/d)) + sin(t / 10000^(2j/d)), odd channels with cosine; i and t from 1."""
    signal = StaticSignal(embed_dim, levels=3, size=4).to(dtype)
    positions = torch.tensor([[1, 2, 9]])  # 9 lies beyond the table, which grows
    looked_up = signal.positions(positions)
    for level in range(3):
        table = looked_up + signal.step(level)
        for index, position in enumerate(positions[0].tolist()):
            for channel in range(embed_dim):
                rate = 10000 ** (2 * (channel // 2) / embed_dim)
                wave = math.sin if channel % 2 == 0 else math.cos
                expected = wave(position / rate) + wave((level + 1) / rate)
                assert table[0, index, channel].item() == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("embed_dim", [8, 7])
def test_the_released_coordinates_are_their_formula(embed_dim):
    """f(i / 10000^(2k/d)) + f(t / 10000^(2k/d)), k from 1, f the sine for even k, else the cosine; i and t from 1."""
    signal = StaticSignal(embed_dim, levels=3, size=4, coordinates="released").double()
    looked_up = signal.positions(torch.tensor([[1, 2, 9]]))[0]  # 9 lies beyond the table, which grows
    for level, (index, i), k in itertools.product(range(3), enumerate((1, 2, 9)), range(1, embed_dim + 1)):
        wave, t = math.sin if k % 2 == 0 else math.cos, level + 1
        expected = wave(i / 10000 ** (2 * k / embed_dim)) + wave(t / 10000 ** (2 * k / embed_dim))
        assert (looked_up[index] + signal.step(level))[k - 1].item() == pytest.approx(expected, abs=1e-12)


def test_the_deviation_of_the_factor_that_is_not_zero():
    for given, expected in ((None, 512**-0.5), (1e-6, 1e-6)):
        signals = LowRankSignals(3, 3, 512, 512, "after", 64, init_std=given)
        assert signals.down.std().item() == pytest.approx(expected, rel=0.02)
        assert not signals.up.any()


def test_static_signals_store_nothing():
    assert not StaticSignal(8, 3).state_dict()
