"""What is there for speed equals the plain form; the switch turns all of it off."""

import itertools

import pytest
import torch
from fairseq.modules import FairseqDropout
from torch import nn

from fairseq_ringformer.modules import DecoderCache, LowRankSignals, Projection, kernels, plain
from fairseq_ringformer.modules.attention import attention_mask, drop_probability
from tests.modules.test_stack import BOTH_NORMS, FEW, build, inputs


def trained(stack, x, positions, memory):
    for parameter in stack.parameters():
        parameter.grad = None
    out = stack.train()(x, positions=positions, causal=True, **memory).state
    out.float().mul(torch.arange(16)).sum().backward()
    return [out.detach(), *(parameter.grad for parameter in stack.parameters())]


TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-10, torch.bfloat16: 0.3}


@pytest.mark.parametrize(
    "variant, pre_norm, dtype, fold",
    [(variant, pre_norm, torch.float32, not pre_norm) for variant, pre_norm in BOTH_NORMS]
    # Types are told apart by kernels, not by rows: a few rows are enough for the others.
    + [(variant, False, dtype, True) for variant in FEW for dtype in (torch.float64, torch.bfloat16)],
)
def test_training_is_the_plain_form(variant, pre_norm, dtype, fold, monkeypatch):
    """Outputs and gradients, which reach every parameter, of every row and place of a signal, signals folded or thin."""
    monkeypatch.setattr("fairseq_ringformer.modules.weights.folding_pays", lambda *args: fold)
    stack = build(variant, pre_norm=pre_norm)
    if dtype == torch.float64:
        stack.double()
    x, positions, memory = inputs()
    x, memory = x.to(dtype), {**memory, "memory": memory["memory"].to(dtype)}
    fast = trained(stack, x, positions, memory)
    with plain():
        slow = trained(stack, x, positions, memory)
    for own, expected in zip(fast, slow):
        assert expected.any()
        scale = expected.abs().max().clamp(min=1.0)
        torch.testing.assert_close(own / scale, expected / scale, atol=TOLERANCES[dtype], rtol=TOLERANCES[dtype])


@pytest.mark.parametrize(
    "variant, pre_norm, prepared, sentences, dtype",
    [(*norm, sentences == 1, sentences, torch.float32) for norm, sentences in zip(BOTH_NORMS, itertools.cycle((3, 1)))]
    + [(variant, True, prepared, 3, torch.bfloat16) for variant in FEW for prepared in (True, False)],
)
@torch.no_grad()
def test_generating_is_the_plain_form(variant, pre_norm, prepared, sentences, dtype):
    stack = build(variant, pre_norm=pre_norm)
    x, positions, memory = inputs()
    memory = {name: tensor[:sentences] for name, tensor in memory.items()}
    x, memory["memory"] = x.to(dtype), memory["memory"].to(dtype)

    def generate():
        cache, states = DecoderCache(stack.levels, sentences, 3 // sentences), []
        for step in range(7):
            grid = (cache.sentences, cache.beams)
            states.append(
                stack(x[:, step].view(*grid, -1), positions=positions[:, step].view(grid), cache=cache, **memory).state
            )
        return torch.stack(states)

    with plain():
        expected = generate()
    if prepared:
        stack.reparameterize()
    tolerance = 1e-5 if dtype == torch.float32 else 0.15
    torch.testing.assert_close(generate(), expected, atol=tolerance, rtol=tolerance)


def test_the_switch_turns_everything_off(monkeypatch):
    """No kernel's fast form is reached: each begins with its plain one."""
    stack = build("ring", dropout=0.1, activation_dropout=0.1, attention_dropout=0.1).train()
    x, positions, memory = inputs()

    def fail(*args):
        raise AssertionError("a fast form ran")

    for name in ("keep_noise", "fused_is_quicker"):
        monkeypatch.setattr(kernels, name, fail)
    monkeypatch.setattr("fairseq_ringformer.modules.weights.fold_weights", fail)
    monkeypatch.setattr("fairseq_ringformer.modules.weights.folding_pays", fail)
    with plain():
        stack(x, causal=True, **memory)
    with pytest.raises(AssertionError, match="a fast form ran"):
        stack(x, causal=True, **memory)


@pytest.mark.parametrize("place, tokens", [("after", 11), ("before", 32)])
def test_folding_is_for_many_tokens(place, tokens):
    """Width 8, 16 rows of W, rank 2: thin products take rank (in + out) a token, folding rank in out, twice before W."""
    signals = LowRankSignals(2, 1, 8, 16 if place == "after" else 8, place, 2)
    thin, folding = 2 * (8 + signals.out_dim), 2 * 8 * 16 * (1 if place == "after" else 2)
    first = -(-folding // thin)
    projection = Projection(8, 16)
    assert kernels.folding_pays(signals, projection, first) and not kernels.folding_pays(signals, projection, first - 1)


# ---- attention

MASKS = ("none", "causal", "padding", "both")


def heads(length=6, source=6, dtype=torch.float32):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, n, 4, dtype=dtype) for n in (length, source, source))
    return [tensor.requires_grad_() for tensor in (query, key, value)]


def mask_of(kind, like):
    padding = torch.tensor([[False] * 6, [True] + [False] * 5]) if kind in ("padding", "both") else None
    causal = kind in ("causal", "both")
    return attention_mask(torch.zeros(2, 6, 12, dtype=like.dtype), padding, causal), kind == "causal"


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12), (torch.bfloat16, 3e-2)])
def test_two_products_are_attention(kind, need_weights, dtype, tolerance, monkeypatch):
    monkeypatch.setattr(kernels, "fused_is_quicker", lambda query, key, mask: False)
    results = []
    for form in (kernels.attend, kernels.attention.attend):
        tensors = heads(dtype=dtype)
        mask, causal = mask_of(kind, tensors[0])
        out, weights = form(*tensors, mask, causal, nn.Dropout(0.0), need_weights)
        assert out.dtype == dtype and (weights is not None) == need_weights
        out.float().square().sum().backward()
        results.append([out, *(tensor.grad for tensor in tensors)] + ([weights.to(dtype)] if need_weights else []))
    torch.testing.assert_close(*results, atol=tolerance, rtol=tolerance)


def test_the_number_of_keys_chooses_and_tracing_does_not():
    def chosen(keys, dtype=torch.float32, mask=torch.zeros(1)):  # noqa: B008
        query, key = torch.zeros(1, 1, 1, 4, dtype=dtype), torch.zeros(1, 1, keys, 4, dtype=dtype)
        return kernels.fused_is_quicker(query, key, mask)

    short, short_bfloat16 = kernels.SHORT, kernels.SHORT_BFLOAT16
    with torch.no_grad():
        assert chosen(short)  # the two products pay in training only
    assert not chosen(short) and chosen(short + 1) and chosen(short, mask=None)
    assert not chosen(short_bfloat16, torch.bfloat16) and chosen(short_bfloat16 + 1, torch.bfloat16)
    tensors = tuple(tensor.detach() for tensor in heads())
    traced = torch.jit.trace(lambda q, k, v: kernels.attend(q, k, v, None, False, nn.Dropout(0.0))[0], tensors)
    assert "scaled_dot_product_attention" in str(traced.graph)


# ---- dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_elements_are_dropped_as_often_as_asked_and_the_rest_is_scaled(p, dtype):
    torch.manual_seed(0)
    out = kernels.dropout(torch.ones(1000, 1001, dtype=dtype), nn.Dropout(p))
    dropped = (out == 0).float().mean()
    # Five standard deviations of a share of a million draws.
    assert abs(dropped - p) < 5 * (p * (1 - p) / out.numel()) ** 0.5
    left = out[out != 0].unique()
    assert len(left) == 1 and abs(left.item() - 1 / (1 - p)) < (1e-3 if dtype == torch.float32 else 8e-3) / (1 - p)


def test_drops_are_independent_of_their_neighbours():
    """Four elements share one random number: each pair of them is dropped together no more often than by chance."""
    torch.manual_seed(0)
    dropped = (kernels.dropout(torch.ones(200_000, 4), nn.Dropout(0.3)) == 0).float()
    together = (dropped.T @ dropped) / len(dropped)
    expected = torch.full((4, 4), 0.09).fill_diagonal_(0.3)
    torch.testing.assert_close(together, expected, atol=5e-3, rtol=0)


def test_the_gradient_passes_where_the_value_did_and_the_generator_decides():
    x, residual, module = torch.randn(7, 9, requires_grad=True), torch.randn(7, 9), nn.Dropout(0.4)
    torch.manual_seed(1)
    alone = kernels.dropout(x, module)
    torch.manual_seed(1)
    added = kernels.add_dropped(residual, x, module)
    torch.testing.assert_close(added, residual + alone)
    torch.manual_seed(1)
    torch.testing.assert_close(kernels.add_dropped(residual, x, module, 0.2), residual + 0.2 * alone)
    added.sum().backward()
    assert torch.equal(x.grad == 0, alone == 0)
    assert not torch.equal(kernels.dropout(x, module), kernels.dropout(x, module))


def test_dropout_is_for_training_unless_it_is_retained():
    module, x = FairseqDropout(0.3), torch.ones(3)
    assert drop_probability(module) == 0.3 and drop_probability(module.eval()) == 0.0
    assert kernels.dropout(x, module) is x and torch.equal(kernels.add_dropped(x, x, module), x + x)
    module.make_generation_fast_(name="x", retain_dropout=True)
    assert drop_probability(module) == 0.3


# ---- the rest


def test_gelu_over_few_elements_is_torchs():
    x = torch.linspace(-6, 6, 1001)
    with torch.no_grad():
        torch.testing.assert_close(kernels.gelu(x), torch.nn.functional.gelu(x), atol=1e-6, rtol=1e-5)


def test_spans_name_the_parts_for_a_profiler():
    stack = build("ring").train()
    x, positions, memory = inputs(length=40)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        stack(x, causal=True, **memory)
    counts = {event.key: event.count for event in profiler.key_averages() if event.key.startswith("ring::")}
    assert counts == {
        "ring::signals": 2,
        "ring::keys_values": 1,
        **dict.fromkeys(["ring::self_attn", "ring::cross_attn", "ring::ffn"], stack.levels),
    }
