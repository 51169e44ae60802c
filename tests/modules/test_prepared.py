"""Preparation is explicit, ends when it must, and is never used after a change."""

import contextlib
import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.modules import DecoderCache, plain
from fairseq_ringformer.modules.prepared import Watched
from tests.modules.test_stack import VARIANTS, build, inputs


@torch.no_grad()
def run(stack):
    x, positions, memory = inputs()
    return stack(x, positions=positions, causal=True, **memory).state


def is_prepared(stack):
    return stack._prepared is not None and not stack._prepared._ended


@pytest.mark.parametrize("variant, pre_norm", [*((variant, False) for variant in VARIANTS), ("ring", True)])
def test_prepared_is_unprepared(variant, pre_norm):
    stack = build(variant, pre_norm=pre_norm)
    expected = run(stack)
    stack.reparameterize()
    torch.testing.assert_close(run(stack), expected, atol=1e-5, rtol=1e-5)
    assert is_prepared(stack.eval())  # fairseq's search calls eval() after preparing
    assert set(map(type, stack.parameters())) == {Watched}
    stack.train()
    assert not is_prepared(stack) and set(map(type, stack.parameters())) == {nn.Parameter}


CHANGES = {
    "in place": lambda p: p.mul_(1.1),
    "data in place": lambda p: p.data.mul_(1.1),
    "data": lambda p: setattr(p, "data", p.detach() * 1.1),
    "data, copied": lambda p: p.data.copy_(p.detach() * 1.1),
    "a view": lambda p: p.view(-1).mul_(1.1),
}


def _replace(stack):
    for module in stack.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                setattr(module, name, nn.Parameter(parameter.detach() * 1.1))


WHOLE = {
    "loaded": lambda stack: stack.load_state_dict({name: 1.1 * p for name, p in stack.state_dict().items()}),
    "assigned": lambda stack: stack.load_state_dict({n: 1.1 * p for n, p in stack.state_dict().items()}, assign=True),
    "replaced": _replace,
    "optimised": lambda stack: torch.optim.SGD(stack.parameters(), lr=0.1, weight_decay=1.0).step(),
    "optimised in one kernel": lambda stack: torch.optim.Adam(
        stack.parameters(), lr=0.1, weight_decay=1.0, fused=True
    ).step(),
}


@pytest.mark.parametrize("change", [*CHANGES, *WHOLE])
@pytest.mark.parametrize("held", [False, True])
@torch.no_grad()
def test_a_change_under_a_prepared_stack_is_seen(change, held):
    stack = build("ring", pre_norm=True)
    before = run(stack)
    references = list(stack.parameters())
    stack.reparameterize()
    run(stack)
    parameters = references if held else list(stack.parameters())
    if change in WHOLE:
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        WHOLE[change](stack)
    else:
        for parameter in parameters:
            CHANGES[change](parameter)
    after = run(stack)
    assert (after - before).abs().max() > 1e-2 and not is_prepared(stack)
    with plain():
        torch.testing.assert_close(after, run(stack), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_stochastic_depth_ends_with_training():
    stack = build("ring", drop_path=0.9)
    expected = run(stack.eval())
    stack.train().reparameterize()
    run(stack)
    torch.testing.assert_close(run(stack.eval()), expected, atol=1e-5, rtol=1e-5)


def test_one_parameter_is_enough():
    for index in range(len(list(build("ring").parameters()))):
        stack = build("ring")
        stack.reparameterize()
        run(stack)
        list(stack.parameters())[index].data[..., 0] += 1
        with plain():
            expected = run(stack)
        torch.testing.assert_close(run(stack), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_moving_ends_it():
    stack = build("ring").double()
    stack.reparameterize()
    x, positions, memory = inputs()
    stack.float()
    assert not is_prepared(stack) and run(stack).dtype == torch.float32


@torch.no_grad()
def test_a_borrowed_feed_forward_is_watched_by_both():
    owner = build("ring", decoder=False)
    from fairseq_ringformer.modules import Stack

    borrower = Stack(owner.config, ffn_bank=owner.ffn).eval()
    x, *_ = inputs()
    for stack in (owner, borrower):
        stack.reparameterize()
    before = borrower(x).state
    owner.ffn[0].fc1.weight.data.mul_(2)
    assert not torch.equal(borrower(x).state, before) and not is_prepared(owner)
    owner.train()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda stack: pickle.loads(pickle.dumps(stack))])
def test_copies_begin_unprepared(again):
    stack = build("ring")
    stack.reparameterize()
    expected = run(stack)
    copied = again(stack)
    assert is_prepared(stack) and not is_prepared(copied)
    assert set(map(type, copied.parameters())) == {nn.Parameter}
    torch.testing.assert_close(run(copied), expected, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.data.mul_(1.1)
    assert not torch.equal(run(copied), expected) and torch.equal(run(stack), expected)


@torch.no_grad()
def test_autocast_does_not_prepare_in_its_type():
    stack = build("ring")
    x, positions, memory = inputs()
    stack.reparameterize()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = run(stack)
    exact = run(stack)
    assert not torch.equal(rounded.float(), exact)
    stack.unprepare()
    torch.testing.assert_close(exact, run(stack), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_other_weights_for_one_call():
    stack, other = build("ring"), build("ring")
    for parameter in other.parameters():
        parameter.mul_(0.9)
    x, _, memory = inputs()
    expected = [each(x, causal=True, **memory).state for each in (stack, other)]
    stack.reparameterize()
    weights = dict(other.named_parameters())
    called = torch.func.functional_call(stack, weights, (x,), dict(causal=True, **memory)).state
    torch.testing.assert_close(called, expected[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(stack(x, causal=True, **memory).state, expected[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_search_uses_the_weights_of_its_first_step():
    stack = build("ring")
    x, positions, memory = inputs()
    cache = DecoderCache(stack.levels, 3)
    steps = [x[:, :1], x[:, 1:2]]
    stack(steps[0], cache=cache, **memory)
    for parameter in stack.parameters():
        parameter.data.mul_(1.1)
    stack(steps[1], cache=cache)
    again = DecoderCache(stack.levels, 3)
    assert again.weights is None  # the next search reads the parameters anew


# ---- hooks, adapters, pruning


@pytest.mark.parametrize("name", ["self_attn.0.qkv_proj", "cross_attn.0.kv_proj", "signals.ffn_fc1", "norms.ffn.0"])
@pytest.mark.parametrize("when", ["plain", "fast", "prepared before", "search"])
@torch.no_grad()
def test_hooks_are_called(name, when):
    stack, calls = build("ring", pre_norm=True), []
    if when == "prepared before":
        stack.reparameterize()
        run(stack)
    handle = stack.get_submodule(name).register_forward_hook(lambda module, args, out: calls.append(1) or 2 * out)
    x, positions, memory = inputs()
    cache = DecoderCache(stack.levels, 3, 7) if when == "search" else None
    with plain() if when == "plain" else contextlib.nullcontext():
        out = stack(x, cache=cache, **memory).state
    assert len(calls) == (1 if name.endswith((".kv_proj", "norms.ffn.0")) else stack.levels)
    handle.remove()
    cache = DecoderCache(stack.levels, 3, 7) if when == "search" else None
    assert not torch.equal(out, stack(x, cache=cache, **memory).state)


def test_a_hook_where_nothing_is_called_warns():
    stack = build("ring")
    for part, projections in ((stack.self_attn[0], "qkv_proj, out_proj"), (stack.ffn[0], "fc1, fc2")):
        with pytest.warns(UserWarning, match=f"is never called: put it on its projections, {projections}"):
            part.register_forward_hook(print)


def test_pruning_and_parametrizations_take_effect():
    for touch in (
        lambda linear: prune.l1_unstructured(linear, "weight", 0.5),
        lambda linear: parametrizations.weight_norm(linear),
    ):
        stack = build("ring")
        before = run(stack)
        touch(stack.ffn[0].fc1)
        if hasattr(stack.ffn[0].fc1, "weight_mask"):
            assert not torch.equal(run(stack), before)
        else:  # the same weights, but they are learned otherwise
            torch.testing.assert_close(run(stack), before, atol=1e-5, rtol=1e-5)
            x, positions, memory = inputs()
            stack(x, causal=True, **memory).state.square().sum().backward()
            assert stack.ffn[0].fc1.parametrizations.weight.original0.grad.abs().max() > 0
        with pytest.raises(UserError, match="ffn.fc1 has hooks, adapters or is pruned"):
            stack.reparameterize()


def test_lora_takes_effect_and_merges():
    peft = pytest.importorskip("peft", reason="peft is in the dev extra")
    stack = build("ring")
    before = run(stack)
    config = peft.LoraConfig(r=2, target_modules=["qkv_proj", "fc1", "q_proj"], init_lora_weights=False)
    adapted = peft.inject_adapter_in_model(config, stack)
    after = run(adapted)
    assert (after - before).abs().max() > 1e-2
    with plain():
        torch.testing.assert_close(run(adapted), after, atol=1e-5, rtol=1e-5)
    x, positions, memory = inputs()
    adapted(x, causal=True, **memory).state.square().sum().backward()
    assert all(p.grad.abs().max() > 0 for name, p in adapted.named_parameters() if "lora_" in name)
    with pytest.raises(UserError, match="merge_and_unload"):
        adapted.reparameterize()
