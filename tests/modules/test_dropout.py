import pytest
import torch
from fairseq.modules import FairseqDropout
from torch import nn

from fairseq_ringformer.modules import add_dropped, drop_probability, dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_elements_are_dropped_as_often_as_asked_and_the_rest_is_scaled(p, dtype):
    torch.manual_seed(0)
    out = dropout(torch.ones(1000, 1001, dtype=dtype), p)
    dropped = (out == 0).float().mean()
    # Five standard deviations of a share of a million draws.
    assert abs(dropped - p) < 5 * (p * (1 - p) / out.numel()) ** 0.5
    kept = out[out != 0].unique()
    assert len(kept) == 1 and abs(kept.item() - 1 / (1 - p)) < (1e-3 if dtype == torch.float32 else 8e-3) / (1 - p)


def test_drops_are_independent_of_their_neighbours():
    """Four elements share one random number: each pair of them is dropped together no more often than by chance."""
    torch.manual_seed(0)
    dropped = (dropout(torch.ones(200_000, 4), 0.3) == 0).float()
    together = (dropped.T @ dropped) / len(dropped)
    expected = torch.full((4, 4), 0.09).fill_diagonal_(0.3)
    torch.testing.assert_close(together, expected, atol=5e-3, rtol=0)


def test_the_generator_decides():
    x = torch.ones(50)
    torch.manual_seed(3)
    first, second = dropout(x, 0.5), dropout(x, 0.5)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, 0.5), first) and not torch.equal(first, second)


def test_the_gradient_passes_where_the_value_did():
    x, residual = torch.randn(7, 9, requires_grad=True), torch.randn(7, 9)
    torch.manual_seed(1)
    alone = dropout(x, 0.4)
    torch.manual_seed(1)
    added = add_dropped(residual, x, 0.4)
    torch.testing.assert_close(added, residual + alone)
    added.sum().backward()
    assert torch.equal(x.grad == 0, alone == 0)


def test_no_dropout_is_no_change():
    x = torch.randn(3)
    assert dropout(x, 0.0) is x and torch.equal(add_dropped(x, x, 0.0), x + x)


def test_dropout_is_for_training_unless_it_is_retained():
    module = FairseqDropout(0.3)
    assert drop_probability(module) == 0.3 and drop_probability(module.eval()) == 0.0
    module.make_generation_fast_(name="x", retain_dropout=True)
    assert drop_probability(module) == 0.3
    assert drop_probability(nn.Dropout(0.2).eval()) == 0.0
