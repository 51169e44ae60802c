import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fairseq_ringformer.modules import PROJECTIONS, Bank, DecoderCache, Stack, StackConfig, coordinate_table
from fairseq_ringformer.modules.sharing import RING_SIGNALS
from fairseq_ringformer.modules.weights import unfolded

OWN, ONE = (0, 1, 2), (0, 0, 0)

EVERYWHERE = [f"{part}.{projection}" for part, projections in PROJECTIONS.items() for projection in projections]

# The rows of the sharing table and of the ablations, and what must hold for all of them.
VARIANTS = {
    "vanilla": dict(self_attn=OWN, cross_attn=OWN, ffn=OWN, norm=OWN, norm_per="level"),
    "one wide ffn": dict(self_attn=OWN, cross_attn=OWN, ffn=ONE, norm=OWN, ffn_norm=ONE, norm_per="level"),
    "no ffn": dict(self_attn=OWN, cross_attn=OWN, ffn=None, norm=OWN, norm_per="level"),
    "universal": dict(signal="static", norm=ONE),
    "static ring": dict(signal="static"),
    "steps": dict(signal="steps", norm=ONE),
    "static ring, released, scaled": dict(signal="static", coordinates="released", residual_scale=1 / 3),
    "plain": dict(),
    "ring": dict(signals=RING_SIGNALS),
    "ring, before attention": dict(signals={**RING_SIGNALS, "self_attn.qkv_proj": "before"}),
    "ring, inter": dict(signals={**RING_SIGNALS, "ffn.fc1": "after"}),
    "ring, no attention signal": dict(signals={"ffn.fc1": "before"}),
    "ring, no ffn signal": dict(signals={"self_attn.qkv_proj": "after"}),
    "ring, full rank": dict(signal="full-rank", signals=RING_SIGNALS),
    "ring, everywhere, diagonal": dict(signal="diagonal", signals=dict.fromkeys(EVERYWHERE, "after")),
    "ring, residual": dict(signal="low-rank+diagonal", signals=RING_SIGNALS),
    "ring, wide middle": dict(signals=RING_SIGNALS, ffn=(0, 1, 0), ffn_widths=(24, 40)),
    "ring, cycle": dict(signals=RING_SIGNALS, self_attn=(0, 1, 0), ffn=(0, 1, 1)),
    "ring, queries of the memory": dict(signals={"cross_attn.q_proj": "after"}),
    "ring, keys of the memory": dict(signals={"cross_attn.kv_proj": "before"}),
    "ring, everywhere after": dict(signals=dict.fromkeys(EVERYWHERE, "after")),
    "ring, everywhere before": dict(signals=dict.fromkeys(EVERYWHERE, "before")),
    "ring, everywhere, full rank": dict(signal="full-rank", signals=dict.fromkeys(EVERYWHERE, "after")),
}


def build(variant, decoder=True, pre_norm=False, **changes):
    torch.manual_seed(1)
    options = dict(self_attn=ONE, cross_attn=ONE, ffn=ONE, norm=OWN, signal_rank=2, memory_dim=12)
    if variant.startswith("ring"):
        options["signal"] = "low-rank"
    options.update(VARIANTS[variant])
    if not decoder:
        options["cross_attn"] = None
        signals = options.get("signals", {})
        options["signals"] = {name: place for name, place in signals.items() if not name.startswith("cross_attn")}
    options.update(changes)
    stack = Stack(StackConfig(embed_dim=16, num_heads=4, ffn_dim=24, pre_norm=pre_norm, **options)).eval()
    for name, parameter in stack.named_parameters():
        if "signals" in name:  # as after training
            nn.init.normal_(parameter, std=0.2)
    return stack


def inputs(length=7):
    torch.manual_seed(2)
    x, memory = torch.randn(3, length, 16), torch.randn(3, 5, 12)
    memory_padding = torch.zeros(3, 5, dtype=torch.bool)
    memory_padding[1, 3:] = True
    positions = torch.arange(1, length + 1).expand(3, length)
    return x, positions, dict(memory=memory, memory_padding_mask=memory_padding)


def one_step(stack, x, positions, cache, **memory):
    """A step of the newest states of `x` `(rows, length, channels)`, beams side by side."""
    grid = (cache.sentences, cache.beams)
    return stack(x[:, -1].view(*grid, -1), positions=positions[:, -1].view(grid), cache=cache, **memory)


BOTH_NORMS = list(itertools.product(VARIANTS, (False, True)))
# Where only the way to a sub-layer matters, not which rows share what.
FEW = ("ring, everywhere before", "universal", "static ring, released, scaled", "no ffn")


@pytest.mark.parametrize("variant", ["universal", "static ring, released, scaled"])
@torch.no_grad()
def test_positions_that_are_not_given_are_those_of_the_steps(variant):
    stack = build(variant)
    x, _, memory = inputs()
    full = stack(x, causal=True, **memory).state
    cache = DecoderCache(stack.levels, 3, 2)
    for step in range(7):
        out = stack(x[:, [step, step]], cache=cache, **memory).state
        torch.testing.assert_close(out, full[:, [step, step]], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", FEW)
@torch.no_grad()
def test_padding_does_not_change_results(variant):
    stack = build(variant, decoder=False)
    x, positions, _ = inputs()
    alone = stack(x, positions=positions).state
    left = torch.cat([torch.full((3, 2, 16), 9.0), x], dim=1)
    padding = torch.zeros(3, 9, dtype=torch.bool)
    padding[:, :2] = True
    shifted = torch.cat([torch.zeros(3, 2, dtype=torch.long), positions], dim=1)
    padded = stack(left, padding_mask=padding, positions=shifted).state
    torch.testing.assert_close(padded[:, 2:], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "variant", ["ring, everywhere after", "ring, everywhere before", "ring, everywhere, full rank", "ring, residual"]
)
@torch.no_grad()
def test_signals_at_zero_are_the_plain_recurrent_model(variant):
    ring, plain = build(variant), build("plain")
    for name, parameter in ring.named_parameters():
        if name.endswith(".up") or (name.startswith("signals.") and name.endswith(".weight")):
            parameter.zero_()
    plain.load_state_dict({name: value for name, value in ring.state_dict().items() if "signals" not in name})
    x, positions, memory = inputs()
    assert torch.equal(ring(x, causal=True, **memory).state, plain(x, causal=True, **memory).state)


@pytest.mark.parametrize("variant", FEW)
def test_checkpointed_activations_give_the_same_gradients(variant):
    gradients = []
    for checkpointing in (False, True):
        stack = build(variant, checkpoint_activations=checkpointing, dropout=0.2, activation_dropout=0.2).train()
        x, positions, memory = inputs()
        torch.manual_seed(3)
        stack(x.requires_grad_(), positions=positions, causal=True, **memory).state.square().sum().backward()
        gradients.append([p.grad for p in stack.parameters()] + [x.grad])
    for plain, recomputed in zip(*gradients):
        torch.testing.assert_close(recomputed, plain)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_a_ring_is_its_unrolled_layers(variant):
    """The shared stack against a stack with own copies at every level, holding the same weights."""
    shared = build(variant)
    config = shared.config
    changes = dict(
        self_attn=OWN,
        cross_attn=OWN,
        norm=OWN,
        ffn=None if config.ffn is None else OWN,
        ffn_widths=None if config.ffn_widths is None else config.ffn_dims,
        ffn_norm=None if config.ffn_norm is None else OWN,
    )
    unrolled = build(variant, **changes)
    state = {}
    for key in unrolled.state_dict():
        part, _, rest = key.partition(".")
        if part == "norms":
            bank, copy_number, tail = rest.split(".", 2)
            state[key] = shared.norms[bank].at(int(copy_number)).state_dict()[tail]
        elif part in ("self_attn", "cross_attn", "ffn"):
            copy_number, tail = rest.split(".", 1)
            state[key] = getattr(shared, part).at(int(copy_number)).state_dict()[tail]
        else:
            state[key] = shared.state_dict()[key]
    unrolled.load_state_dict(state)
    x, positions, memory = inputs()
    torch.testing.assert_close(
        unrolled(x, positions=positions, causal=True, **memory).state,
        shared(x, positions=positions, causal=True, **memory).state,
        atol=1e-6,
        rtol=1e-6,
    )


@torch.no_grad()
def test_a_causal_stack_does_not_look_ahead():
    stack = build("ring")
    x, positions, memory = inputs()
    changed = x.clone()
    changed[:, 4:] += 1
    before = stack(x, causal=True, **memory).state
    after = stack(changed, causal=True, **memory).state
    torch.testing.assert_close(before[:, :4], after[:, :4], atol=1e-6, rtol=1e-6)
    assert (before[:, 4:] - after[:, 4:]).abs().max() > 1e-2


@pytest.mark.parametrize("pre_norm", [False, True])
@torch.no_grad()
def test_states_and_weights_on_request(pre_norm):
    stack = build("ring", pre_norm=pre_norm)
    x, positions, memory = inputs()
    plain = stack(x, causal=True, **memory)
    assert plain.states is None and plain.attn_weights == {}
    full = stack(x, causal=True, return_states=True, need_weights=(0, 2), **memory)
    torch.testing.assert_close(full.state, plain.state, atol=1e-6, rtol=1e-6)
    assert len(full.states) == 4 and torch.equal(full.states[0], x)
    last = full.states[-1] if stack.final_norm is None else stack.final_norm(full.states[-1])
    assert torch.equal(last, full.state)
    assert set(full.attn_weights) == {0, 2}
    assert full.attn_weights[0]["self_attn"].shape == (3, 4, 7, 7)
    assert full.attn_weights[2]["cross_attn"].shape == (3, 4, 7, 5)
    assert full.attn_weights[2]["cross_attn"][1, :, :, 3:].abs().max() == 0  # padding gets nothing


@pytest.mark.parametrize(
    "changes, positions_added, steps_added",
    [
        (dict(signal="steps", residual_scale=1 / 3), False, True),
        (dict(signal="static", coordinates="released"), True, True),
    ],
)
@pytest.mark.parametrize("pre_norm", [False, True])
@torch.no_grad()
def test_what_is_added_and_scaled_written_out(changes, positions_added, steps_added, pre_norm):
    stack = build("plain", decoder=False, pre_norm=pre_norm, attn_bias=True, ffn_bias=True, **changes)
    scale, kind = stack.config.residual_scale, stack.config.coordinates
    x, *_ = inputs()
    table = coordinate_table(8, 16, coordinates=kind)
    attn, ffn, states = stack.self_attn[0], stack.ffn[0], [x]
    for level in range(3):
        attn_norm, ffn_norm = (stack.norms[part].at(level) for part in ("self_attn", "ffn"))
        x = x + (table[1:] if positions_added else 0) + (table[level + 1] if steps_added else 0)
        query, key, value = (
            attn.qkv_proj(attn_norm(x) if pre_norm else x).unflatten(-1, (3, 4, 4)).permute(2, 0, 3, 1, 4)
        )
        attended = torch.softmax(query @ key.mT / 2, dim=-1) @ value
        x = x + scale * attn.out_proj(attended.transpose(1, 2).flatten(2))
        x = x if pre_norm else attn_norm(x)
        x = x + scale * ffn.fc2(F.gelu(ffn.fc1(ffn_norm(x) if pre_norm else x)))
        x = x if pre_norm else ffn_norm(x)
        states.append(x)
    torch.testing.assert_close(stack(states[0], return_states=True).states, states, atol=1e-5, rtol=1e-5)


def test_weights_start_as_init_says():
    sizes = dict(embed_dim=256, num_heads=4, ffn_dim=512, self_attn=(0, 0), cross_attn=(0, 0), ffn=(0, 0), norm=(0, 0))
    config = StackConfig(**sizes, signal="low-rank", signals=RING_SIGNALS, attn_bias=True, init="normal-0.02")
    stack = Stack(config)
    for name in stack.projection_names:
        projection = stack.projections_at(name)[0]
        assert projection.weight.std().item() == pytest.approx(0.02, rel=0.02)
        assert projection.weight.abs().max() > 0.07  # normal, not uniform
        assert projection.bias is None or not projection.bias.any()
    assert stack.signals_at("ffn.fc1").down.std().item() == pytest.approx(1 / 16, rel=0.05)
    assert (stack.norms["ffn"][0].weight == 1).all()


@torch.no_grad()
def test_levels_are_told_apart_by_their_signals_alone():
    stack = build("ring", norm=ONE)
    x, *_ = inputs()
    first, second, _ = (level.projections["ffn.fc1"](x) for level in unfolded(stack).levels)
    assert (first - second).abs().max() > 1e-2
    for name in ("ffn.fc1", "self_attn.qkv_proj"):
        for parameter in stack.signals_at(name).parameters():
            parameter.copy_(parameter[:1].clone())
    first, second, _ = (level.projections["ffn.fc1"](x) for level in unfolded(stack).levels)
    assert torch.equal(first, second)


@pytest.mark.parametrize("variant, pre_norm", BOTH_NORMS)
@torch.no_grad()
def test_beams_share_their_sentence_and_come_from_their_own_past(variant, pre_norm):
    """Beams that cross, sentences that leave, and the full forward pass over what each beam has become."""
    torch.manual_seed(4)
    stack, beams = build(variant, pre_norm=pre_norm), 1 if pre_norm else 3
    _, _, memory = inputs()
    sentences = torch.arange(3).repeat_interleave(beams)
    x, cache = torch.empty(3 * beams, 0, 16), DecoderCache(stack.levels, 3, beams)
    for step in range(35):  # beyond the cache's first growth
        x = torch.cat([x, torch.randn(len(x), 1, 16)], dim=1)
        positions = torch.arange(1, step + 2).expand(len(x), -1)
        out = one_step(stack, x, positions, cache, **memory).state
        rows = {name: tensor[sentences] for name, tensor in memory.items()}
        full = stack(x, positions=positions, causal=True, **rows).state
        torch.testing.assert_close(out.view(-1, 16), full[:, -1], atol=1e-5, rtol=1e-5)
        kept = [1] if step == 20 else range(len(x) // beams)
        order = torch.cat([sentence * beams + torch.randint(beams, (beams,)) for sentence in kept])
        cache.reorder(order)
        x, sentences = x[order], sentences[order]


@pytest.mark.parametrize(
    "variant", ["vanilla", "ring", *(name for name in VARIANTS if "memory" in name or "where" in name)]
)
@pytest.mark.parametrize("beams, padded, bias, pre_norm", [(1, False, True, True), (3, True, False, False)])
@torch.no_grad()
def test_a_sentence_alone_is_attended_over_with_absorbed_projections(variant, pre_norm, beams, padded, bias):
    torch.manual_seed(4)
    stack = build(variant, pre_norm=pre_norm, attn_bias=bias)
    for name, parameter in stack.named_parameters():
        if name.endswith("_proj.bias"):
            nn.init.normal_(parameter)
    memory = {
        "memory": torch.randn(1, 5, 12),
        "memory_padding_mask": torch.tensor([[False] * 4 + [True]]) if padded else None,
    }

    def full(x, **options):
        rows = {
            name: None if tensor is None else tensor.expand(len(x), *tensor.shape[1:])
            for name, tensor in memory.items()
        }
        positions = torch.arange(1, x.size(1) + 1).expand(len(x), -1)
        return positions, stack(x, positions=positions, causal=True, **options, **rows)

    x, cache = torch.empty(beams, 0, 16), DecoderCache(stack.levels, 1, beams)
    for _ in range(4):
        x = torch.cat([x, torch.randn(beams, 1, 16)], dim=1)
        positions, expected = full(x, need_weights=(1,))
        out = one_step(stack, x, positions, cache, need_weights=(1,), **memory)
        assert all(absorbed is not None for absorbed in cache.memory.absorbed)
        torch.testing.assert_close(out.state[0], expected.state[:, -1], atol=1e-5, rtol=1e-5)
        attn_weights = out.attn_weights[1]["cross_attn"][0].transpose(0, 1)
        torch.testing.assert_close(attn_weights, expected.attn_weights[1]["cross_attn"][:, :, -1], atol=1e-5, rtol=1e-5)
        order = torch.randint(beams, (beams,))
        cache.reorder(order)
        x = x[order]
    cache.reorder(torch.zeros(2, dtype=torch.long))  # no longer alone: the plain projections are used again
    x = torch.cat([x[:1].repeat(2, 1, 1), torch.randn(2, 1, 16)], dim=1)
    positions, expected = full(x)
    out = one_step(stack, x, positions, cache)
    torch.testing.assert_close(out.state.view(2, 16), expected.state[:, -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
@torch.no_grad()
def test_rows_may_part_from_the_other_beams_of_their_sentence(beams):
    torch.manual_seed(4)
    stack = build("ring")
    _, _, memory = inputs()
    sentences = torch.arange(3).repeat_interleave(beams)
    x, cache = torch.empty(3 * beams, 0, 16), DecoderCache(stack.levels, 3, beams)
    for step in range(6):
        x = torch.cat([x, torch.randn(len(x), 1, 16)], dim=1)
        out = one_step(stack, x, x[:, :, 0], cache, **memory).state
        full = stack(x, causal=True, **{name: tensor[sentences] for name, tensor in memory.items()}).state
        torch.testing.assert_close(out.view(-1, 16), full[:, -1], atol=1e-5, rtol=1e-5)
        if step in (2, 4):
            order = torch.randint(len(x), (7 - step,))
            cache.reorder(order)
            x, sentences = x[order], sentences[order]


@pytest.mark.parametrize("variant", FEW)
def test_bfloat16_inputs_are_computed_in_bfloat16_with_gradients_in_float32(variant):
    stack = build(variant)
    x, positions, memory = inputs()
    exact = stack(x, positions=positions, causal=True, **memory).state
    memory["memory"] = memory["memory"].bfloat16()
    out = stack(x.bfloat16(), positions=positions, causal=True, **memory).state
    assert out.dtype == torch.bfloat16
    assert (out - exact).abs().max() < 0.1 * exact.abs().max()
    out.float().square().mul(torch.arange(16)).sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in stack.parameters())


def test_a_borrowed_feed_forward_is_used_and_not_stored():
    owner = build("plain", decoder=False)
    config = copy.deepcopy(owner.config)
    borrower = Stack(config, ffn_bank=owner.ffn)
    assert borrower.ffn is owner.ffn
    assert not [name for name in borrower.state_dict() if name.startswith("ffn.")]
    with pytest.raises(ValueError, match="the shared feed-forward has 1 copies, this stack asks for"):
        Stack(build("vanilla").config, ffn_bank=Bank(lambda: nn.Linear(2, 2), ONE))
    with pytest.raises(ValueError, match=r"the shared feed-forward is \(24, 24, 24\) wide, this stack asks for \(9, "):
        Stack(copy.deepcopy(build("plain", decoder=False, ffn_widths=(9,)).config), ffn_bank=owner.ffn)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(num_heads=5), "embed_dim 16 is not divisible by the number of attention heads, 5"),
        (dict(signal="low-rank", signal_rank=0), "signal rank 0 must lie between 1 and the embedding width, 16"),
        (dict(signal="low-rank", signal_rank=17), "signal rank 17 must lie between 1 and the embedding width, 16"),
        (dict(signal="dynamic"), "signal 'dynamic' is unknown: choose one of low-rank, full-rank, diagonal, low"),
        (dict(signal="static", signals=RING_SIGNALS), "signal 'static' stands at no projection"),
        (dict(signal="low-rank", signals={"cross_attn.q_proj": "after"}), "the stack has no cross_attn.q_proj"),
        (
            dict(signal="low-rank", signals={"ffn.fc3": "after"}),
            "no projection 'ffn.fc3'; there are self_attn.qkv_proj",
        ),
        (
            dict(signal="low-rank", signals={"ffn.fc1": "inter"}),
            "ffn.fc1:inter is neither ffn.fc1:after nor ffn.fc1:before",
        ),
        (dict(self_attn=()), "a stack needs at least one level"),
        (dict(coordinates="polar"), "coordinates 'polar' is unknown: choose one of dehghani, released"),
        (dict(init="zeros"), "init 'zeros' is unknown: choose one of xavier, normal-0.02"),
        (dict(ffn_widths=(8, 16)), "ffn_widths (8, 16): it takes one for each copy of the feed-forward, (0, 0, 0)"),
        (
            dict(ffn=(0, 1, 0), ffn_widths=(8, 16), signal="low-rank", signals={"ffn.fc2": "before"}),
            "signals: ffn.fc2 has copies of different widths, signals need one",
        ),
        (dict(signal_init_std=0.0), "signal_init_std 0.0 must be above 0"),
    ],
)
def test_impossible_stacks_are_refused(changes, message):
    options = dict(embed_dim=16, num_heads=4, ffn_dim=24, self_attn=ONE, ffn=ONE, norm=OWN)
    with pytest.raises(ValueError) as error:
        StackConfig(**{**options, **changes})
    assert message in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["ring", "universal"])  # fifteen seconds each
def test_it_compiles_into_one_graph_for_all_lengths(variant):
    """In float64: gradients of float32 differ by more on some processors, where a sum comes near zero."""
    torch.compiler.reset()
    stack = build(variant).double()
    found = []
    for run in (stack, torch.compile(stack, backend="aot_eager", fullgraph=True, dynamic=True)):
        for length in (6, 9):  # not the memory's: sizes that are equal at first are taken to be one
            x, _, memory = inputs(length)
            x, memory["memory"] = x.double(), memory["memory"].double()
            with torch.compiler.set_stance("fail_on_recompile" if run is not stack and length == 9 else "default"):
                state = run(x, causal=True, **memory).state
            stack.zero_grad()
            state.square().sum().backward()
            found.append([state.detach(), *(parameter.grad.clone() for parameter in stack.parameters())])
    for plain, compiled in zip(found[:2], found[2:]):
        torch.testing.assert_close(compiled, plain, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_it_compiles_with_the_default_compiler():
    torch.compiler.reset()
    stack = build("ring")
    x, _, memory = inputs()
    with torch.no_grad():
        expected, found = (run(x, causal=True, **memory).state for run in (stack, torch.compile(stack, dynamic=True)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
