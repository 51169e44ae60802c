import math

import pytest
import torch
from torch import nn

from fairseq_ringformer.modules import FullRankSignal, LowRankSignal, StaticSignal, project


def some_signal(kind, place, in_dim=8, out_dim=8):
    signal = LowRankSignal(in_dim, out_dim, place, rank=3) if kind == "low-rank" else FullRankSignal(in_dim, out_dim, place)
    for parameter in signal.parameters():
        nn.init.normal_(parameter)
    return signal


@pytest.mark.parametrize("kind", ["low-rank", "full-rank"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("place", ["after", "before"])
def test_project_is_the_equation_for_few_tokens_and_for_many(kind, place, bias):
    """Eq. 6: W x + M x; eq. 7: W (x + M x). Many tokens take the folded route, few the thin one."""
    torch.manual_seed(0)
    linear, signal = nn.Linear(8, 8, bias=bias), some_signal(kind, place)
    for tokens in (1, 100):
        x = torch.randn(tokens, 1, 8)
        m = signal.matrix()
        expected = linear(x) + x @ m.T if place == "after" else linear(x + x @ m.T)
        torch.testing.assert_close(project(x, linear, signal), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["low-rank", "full-rank"])
@pytest.mark.parametrize("place, out_dim", [("after", 8), ("before", 8), ("after", 20)])
def test_the_folded_weight_gives_the_same_as_the_signal(kind, place, out_dim):
    torch.manual_seed(0)
    linear, signal = nn.Linear(8, out_dim), some_signal(kind, place, 8, out_dim if place == "after" else 8)
    x = torch.randn(3, 8)
    folded = nn.functional.linear(x, signal.fold(linear.weight), linear.bias)
    thin = linear(x) + signal.apply_to(x) if place == "after" else linear(x + signal.apply_to(x))
    torch.testing.assert_close(folded, thin, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("signal", [LowRankSignal(8, 8, "after", 2), FullRankSignal(8, 8, "before")])
def test_a_new_signal_changes_nothing_and_has_gradients(signal):
    linear, x = nn.Linear(8, 8), torch.randn(5, 8)
    out = project(x, linear, signal)
    assert torch.equal(out, linear(x))
    out.square().sum().backward()
    moved = signal.up if isinstance(signal, LowRankSignal) else signal.weight
    assert moved.grad.abs().max() > 0


@pytest.mark.parametrize("rank", [0, 9])
def test_an_impossible_rank_is_refused(rank):
    with pytest.raises(ValueError, match=f"signal rank {rank} must lie between 1 and 8"):
        LowRankSignal(8, 8, "after", rank)


def test_a_signal_stands_after_or_before():
    with pytest.raises(ValueError, match="after or before its projection, not 'inter'"):
        LowRankSignal(8, 8, "inter", 2)
    with pytest.raises(ValueError, match="maps 8 channels to as many, not to 9"):
        FullRankSignal(8, 9, "before")


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
