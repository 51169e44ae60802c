import pytest
import torch

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.modules import HaltingStack, Stack, StackConfig, build_stack
from fairseq_ringformer.modules.halting import THRESHOLD
from fairseq_ringformer.modules.level import run_level, with_coordinates
from tests.building import context_of_a_pass

LEVELS = 5


def make(bias: float = 1.0, spread: float = 1.0, **options) -> HaltingStack:
    torch.manual_seed(1)
    same = (0,) * LEVELS
    stack = build_stack(
        StackConfig(16, 2, 24, same, same, same, cross_attn=same, signal="static", halting=True, **options)
    )
    assert isinstance(stack, HaltingStack)
    torch.nn.init.constant_(stack.halting_unit.bias, bias)
    torch.nn.init.normal_(stack.halting_unit.weight, std=spread)
    return stack.eval()


def inputs(seed: int = 2):
    torch.manual_seed(seed)
    padding_mask = torch.zeros(3, 7, dtype=torch.bool)
    padding_mask[0, :2] = True
    return torch.randn(3, 7, 16), torch.randn(3, 4, 16), padding_mask


def by_position(stack: HaltingStack, x, memory):
    """The same by the letter of the paper, one position after the other, all levels for all of them."""
    weights = stack.weights_for(x)
    context = context_of_a_pass(stack, x, weights, memory)
    rows, length, _ = x.shape
    halted = torch.zeros(rows, length, dtype=torch.bool)
    probability, steps, remainder = (torch.zeros(rows, length) for _ in range(3))
    output = torch.zeros_like(x)
    for level in weights.levels:
        p = torch.sigmoid(stack.halting_unit(with_coordinates(x, level, context))).squeeze(-1)
        after, _ = run_level(x, level, context)
        x = x.clone()
        for row in range(rows):
            for i in range(length):
                if halted[row, i]:
                    continue
                steps[row, i] += 1
                weight = p[row, i]
                if probability[row, i] + weight > THRESHOLD:
                    weight = remainder[row, i] = 1 - probability[row, i]
                    halted[row, i] = True
                probability[row, i] += weight
                x[row, i] = after[row, i]
                output[row, i] = weight * after[row, i] + (1 - weight) * output[row, i]
    return output, steps, remainder


@pytest.mark.parametrize("pre_norm", [False, True])
@torch.no_grad()
def test_every_position_halts_by_itself(pre_norm):
    stack = make(bias=-1.0, pre_norm=pre_norm)
    x, memory, _ = inputs()
    found = stack(x, memory=memory, return_states=True)
    expected, steps, remainder = by_position(stack, x, memory)
    assert len(steps.unique()) > 2
    if pre_norm:
        expected = stack.final_norm(expected)
    torch.testing.assert_close(found.state, expected)
    torch.testing.assert_close(found.halting.steps, steps)
    torch.testing.assert_close(found.halting.remainder, remainder)
    assert len(found.states) == LEVELS + 1


@torch.no_grad()
def test_the_loop_ends_when_all_have_halted(monkeypatch):
    stack = make(bias=20.0, spread=0.0)
    x, memory, padding_mask = inputs()
    ran = []
    monkeypatch.setattr(
        "fairseq_ringformer.modules.stack.run_level",
        lambda x, level, context: ran.append(level.number) or run_level(x, level, context),
    )
    found = stack(x, memory=memory, padding_mask=padding_mask, return_states=True)
    assert ran == [0]
    assert found.halting.steps[~padding_mask].eq(1).all() and found.halting.steps[padding_mask].eq(0).all()
    torch.testing.assert_close(found.state[~padding_mask], found.states[1][~padding_mask])
    assert all(torch.equal(state, found.states[1]) for state in found.states[1:])
    # The weights of a level that is asked for are there even so.
    assert stack(x, memory=memory, need_weights=(4,)).attn_weights.keys() == {4}


@torch.no_grad()
def test_whoever_never_halts_runs_all_levels():
    stack = make(bias=-20.0, spread=0.0)
    x, memory, _ = inputs()
    found = stack(x, memory=memory)
    assert found.halting.steps.eq(LEVELS).all() and found.halting.remainder.eq(0).all()


def test_the_remainder_teaches_the_halting_unit():
    stack = make().train()
    x, memory, _ = inputs()
    stack(x, memory=memory).halting.remainder.mean().backward()
    assert stack.halting_unit.weight.grad.abs().max() > 0
    # More probability at the first level leaves less: the ponder cost pushes towards halting.
    assert stack.halting_unit.bias.grad < 0


@pytest.mark.parametrize("kind, halting", [(Stack, True), (HaltingStack, False)])
def test_a_stack_that_would_not_do_as_its_row_says_is_refused(kind, halting):
    config = StackConfig(16, 2, 24, (0, 0), (0, 0), (0, 0), signal="static", halting=halting)
    with pytest.raises(UserError, match=f"is no {kind.__name__}: use build_stack"):
        kind(config)
