import math

import pytest
import torch
from torch import nn

from fairseq_ringformer.modules import FullRankSignals, LowRankSignals, StaticSignal
from fairseq_ringformer.modules.projection import project_levels

LEVELS = 3


def some_signals(kind, place, parts=1, in_dim=8, out_dim=8, levels=LEVELS):
    rank = () if kind == "full-rank" else (3,)
    signals = {"low-rank": LowRankSignals, "full-rank": FullRankSignals}[kind](
        levels, parts, in_dim, out_dim, place, *rank
    )
    for parameter in signals.parameters():
        nn.init.normal_(parameter)
    return signals


@pytest.mark.parametrize("kind", ["low-rank", "full-rank"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "parts, place, out_dim", [(1, "after", 20), (1, "before", 8), (3, "after", 8), (3, "before", 8)]
)
@pytest.mark.parametrize("fold", [False, True])
def test_projections_are_the_equations(kind, bias, parts, place, out_dim, fold):
    """Eq. 6: W x + M x; eq. 7: W (x + M x); folded or as thin products, for every level and part."""
    torch.manual_seed(0)
    signals = some_signals(kind, place, parts, out_dim=out_dim)
    linear, x = nn.Linear(8, parts * (20 if place == "before" else out_dim), bias=bias), torch.randn(2, 5, 8)
    projections = project_levels([linear] * LEVELS, signals, torch.float32, fold)
    for level in range(LEVELS):
        expected = []
        for part, weight in enumerate(linear.weight.chunk(parts)):
            m = signals.matrix()[level, part]
            expected.append(x @ weight.T + x @ m.T if place == "after" else (x + x @ m.T) @ weight.T)
        expected = torch.cat(expected, dim=-1) + (linear.bias if bias else 0)
        torch.testing.assert_close(projections[level](x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["low-rank", "full-rank"])
@pytest.mark.parametrize("place", ["after", "before"])
def test_levels_with_copies_of_their_own_fold_into_their_copy(kind, place):
    torch.manual_seed(0)
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    signals = some_signals(kind, place)
    projections = project_levels([first, second, first], signals, torch.float32, fold=True)
    for level, linear in enumerate((first, second, first)):
        torch.testing.assert_close(projections[level].weight, signals.fold(linear.weight)[level])


def test_thin_and_folded_products_have_the_same_gradients():
    torch.manual_seed(0)
    for parts, place in ((1, "after"), (1, "before"), (3, "after"), (3, "before")):
        signals, linear = some_signals("low-rank", place, parts), nn.Linear(8, 8 * parts)
        gradients = []
        for fold in (False, True):
            x = torch.linspace(-1, 1, 80).view(2, 5, 8).requires_grad_()
            for projection in project_levels([linear] * LEVELS, signals, torch.float32, fold):
                projection(x).square().sum().backward(retain_graph=True)
            gradients.append([x.grad, *(p.grad.clone() for p in (*signals.parameters(), *linear.parameters()))])
            signals.zero_grad(), linear.zero_grad()
        torch.testing.assert_close(*gradients, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("kind, place", [("low-rank", "after"), ("full-rank", "before")])
def test_a_new_signal_changes_nothing_and_has_gradients(kind, place):
    signals = LowRankSignals(2, 1, 8, 8, place, 2) if kind == "low-rank" else FullRankSignals(2, 1, 8, 8, place)
    linear, x = nn.Linear(8, 8), torch.randn(5, 8)
    for projection in project_levels([linear, linear], signals, torch.float32, fold=True):
        out = projection(x)
        assert torch.equal(out, linear(x))
        out.square().sum().backward(retain_graph=True)
    moved = signals.up if kind == "low-rank" else signals.weight
    assert moved.grad.abs().amax(dim=(1, 2, 3)).min() > 0


@pytest.mark.parametrize("place, tokens", [("after", 4), ("before", 16)])
def test_thin_products_are_for_few_tokens(place, tokens):
    """Width 8, 16 rows behind the projection: folding pays from half the width (eq. 6), or from the rows (eq. 7)."""
    signals = LowRankSignals(2, 1, 8, 16 if place == "after" else 8, place, 2)
    # Multiply-adds of one level: rank (in + out) per token, against rank in out, twice that in front of the projection.
    expected = 2 * 8 * 16 / (2 * (8 + 16)) if place == "after" else 2 * (2 * 8 * 16) / (2 * (8 + 8))
    assert signals.pays_thin(math.ceil(expected) - 1, 16) and not signals.pays_thin(math.ceil(expected), 16)


@pytest.mark.parametrize("rank", [0, 9])
def test_an_impossible_rank_is_refused(rank):
    with pytest.raises(ValueError, match=f"signal rank {rank} must lie between 1 and 8"):
        LowRankSignals(2, 1, 8, 8, "after", rank)


def test_a_signal_stands_after_or_before():
    with pytest.raises(ValueError, match="after or before its projection, not 'inter'"):
        LowRankSignals(2, 1, 8, 8, "inter", 2)
    with pytest.raises(ValueError, match="maps 8 channels to as many, not to 9"):
        FullRankSignals(2, 1, 8, 9, "before")


@pytest.mark.parametrize("embed_dim", [8, 7])
def test_the_coordinate_table_is_the_formula(embed_dim):
    """P^t[i, 2j] = sin(i / 10000^(2j/d)) + sin(t / 10000^(2j/d)), odd channels with cosine; i and t from 1."""
    signal = StaticSignal(embed_dim, levels=3, size=4)
    positions = torch.tensor([[1, 2, 9]])  # 9 lies beyond the table, which grows
    looked_up = signal.positions(positions)
    for level in range(3):
        table = looked_up + signal.step(level)
        for index, position in enumerate(positions[0].tolist()):
            for channel in range(embed_dim):
                rate = 10000 ** (2 * (channel // 2) / embed_dim)
                wave = math.sin if channel % 2 == 0 else math.cos
                expected = wave(position / rate) + wave((level + 1) / rate)
                assert table[0, index, channel].item() == pytest.approx(expected, abs=1e-5)


def test_static_signals_store_nothing():
    assert not StaticSignal(8, 3).state_dict()
