import argparse
import copy

import pytest
import torch
from fairseq.models import ARCH_MODEL_REGISTRY
from torch import nn
from torch.nn.utils import prune

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.modules import plain
from fairseq_ringformer.modules.level import run_level
from tests.building import MODELS, SMALL_SIZE, WIDE_FFN, batch, build, context_of_a_pass, dictionary, parse

EVERYWHERE = (
    "self_attn.qkv_proj:before,self_attn.out_proj:after,cross_attn.q_proj:before,cross_attn.kv_proj:after,"
    "cross_attn.out_proj:before,ffn.fc1:after,ffn.fc2:before"
)
TIED = ("--share-all-embeddings", "--output-bias")
# What the adapter adds to a stack: embeddings, heads, norms, sides. Sharing and signals are the stack's own, tested there.
VARIANTS = {
    **{model: (model, ()) for model in MODELS},
    "one feed-forward for both sides": ("one_wide_ffn", WIDE_FFN["SharedEncDec"]),
    "pre-norm": ("ringformer", ("--encoder-normalize-before", "--decoder-normalize-before")),
    "biases": ("ringformer", ("--attn-bias", "--ffn-bias", "--output-bias")),
    "learned positions": ("ringformer", ("--encoder-learned-pos", "--decoder-learned-pos")),
    "no positions": ("ringformer", ("--no-token-positional-embeddings",)),
    "tied": ("ringformer", TIED),
    "tied output": ("vanilla_transformer", ("--share-decoder-input-output-embed", "--layernorm-embedding")),
    "unequal sides": ("ringformer", ("--decoder-embed-dim", "16", "--decoder-layers", "2", "--encoder-layers", "4")),
    "halting": ("universal_transformer_act", ()),
    "halting, pre-norm": (
        "universal_transformer_act",
        ("--encoder-normalize-before", "--decoder-normalize-before", "--decoder-layers", "5"),
    ),
    "steps": ("universal_transformer", ("--signal", "steps")),
    "static, released, scaled": (
        "ringformer",
        ("--signal", "static", "--coordinates", "released", "--residual-scale", "1/N"),
    ),
    "signals everywhere": ("ringformer", ("--signals", EVERYWHERE)),
}


@pytest.fixture(params=VARIANTS)
def model(request):
    arch, flags = VARIANTS[request.param]
    return build(f"{arch}_tiny", *flags)


@torch.no_grad()
def test_incremental_is_full(model):
    source, target = batch(model)
    full, _ = model(source, None, target)
    encoder_out, state = model.encoder(source), {}
    for step in range(target.size(1)):
        out, _ = model.decoder(target[:, : step + 1], encoder_out, state)
        torch.testing.assert_close(out[:, 0], full[:, step], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_reordered_beams_continue_as_if_they_had_been_so_from_the_start(model):
    source, target = batch(model)
    order = torch.tensor([2, 0, 2, 1])
    encoder_out, state = model.encoder(source), {}
    for step in range(1, 5):
        model.decoder(target[:, :step], encoder_out, state)
    model.decoder.reorder_incremental_state_scripting(state, order)
    encoder_out, target = model.encoder.reorder_encoder_out(encoder_out, order), target[order]
    full, _ = model(source[order], None, target)
    for step in range(5, 8):
        out, _ = model.decoder(target[:, :step], encoder_out, state)
        torch.testing.assert_close(out[:, 0], full[:, step - 1], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_sentence_alone_is_the_sentence_in_a_batch(model):
    source, target = batch(model)
    together, _ = model(source, None, target)
    for row in range(len(source)):
        kept = source[row].ne(model.encoder.dictionary.pad())
        alone, _ = model(source[row : row + 1, kept], None, target[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_left_padded_targets_are_right_padded_ones(model):
    """fairseq's --left-pad-target True against its default."""
    source, target = batch(model)
    pad = model.decoder.dictionary.pad()
    column = torch.full((len(target), 2), pad)
    left, _ = model(source, None, torch.cat([column, target], dim=1))
    right, _ = model(source, None, torch.cat([target, column], dim=1))
    torch.testing.assert_close(left[:, 2:], right[:, :-2], atol=1e-5, rtol=1e-5)


def test_the_checkpoint_holds_each_weight_once(model):
    state = model.state_dict()
    assert set(state) == {name for name, _ in model.named_parameters()}
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)
    copied = copy.deepcopy(model)
    for parameter in copied.parameters():
        torch.nn.init.normal_(parameter)
    copied.load_state_dict(state)
    source, target = batch(model)
    with torch.no_grad():
        assert torch.equal(copied(source, None, target)[0], model(source, None, target)[0])


def test_gradients_reach_every_parameter(model):
    source, target = batch(model)
    scores, _ = model.train()(source, None, target)
    scores.log_softmax(-1)[..., 5].sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0]


@torch.no_grad()
def test_alignment_is_the_average_cross_attention_of_the_last_level(model):
    source, target = batch(model)
    plain, extra = model(source, None, target)
    assert extra["attn"] == [None]
    model.decoder.make_generation_fast_(need_attn="hard")
    scores, extra = model(source, None, target)
    torch.testing.assert_close(scores, plain, atol=1e-5, rtol=1e-5)
    attn = extra["attn"][0]
    assert attn.shape == (3, 9, 7)
    torch.testing.assert_close(attn.sum(-1), torch.ones(3, 9))
    assert attn[0, :, :2].abs().max() == 0  # padding
    first = model(source, None, target, alignment_layer=0)[1]["attn"][0]
    assert (first - attn).abs().max() > 1e-4


@torch.no_grad()
def test_hidden_states_on_request(model):
    source, target = batch(model)
    encoder_out = model.encoder(source, return_all_hiddens=True)
    assert len(encoder_out["encoder_states"]) == model.encoder.stack.levels + 1
    assert encoder_out["encoder_states"][0].shape == encoder_out["encoder_out"][0].shape
    _, extra = model.decoder(target, encoder_out, return_all_hiddens=True)
    assert len(extra["inner_states"]) == model.decoder.stack.levels + 1


@pytest.mark.parametrize(
    "arch, norm",
    [("vanilla_transformer", ()), ("ringformer", ("--encoder-normalize-before", "--decoder-normalize-before"))],
)
@torch.no_grad()
def test_an_early_exit_is_the_head_behind_the_state_of_its_level(arch, norm):
    model = build(f"{arch}_tiny", *norm)
    source, target = batch(model)
    states = model(source, None, target, return_all_hiddens=True)[1]["inner_states"]
    for level in (1, 2, 3):
        early = build(f"{arch}_tiny", *norm, "--exit-level", str(level), seed=5)
        early.load_state_dict(model.state_dict())
        assert early.decoder.stack.levels == level
        final = model.decoder.stack.final_norm or torch.nn.Identity()
        expected = model.decoder.output_layer(final(states[level].transpose(0, 1)))
        torch.testing.assert_close(early(source, None, target)[0], expected, atol=1e-5, rtol=1e-5)
        encoder_out, state = early.encoder(source), {}
        steps = [early.decoder(target[:, : step + 1], encoder_out, state)[0] for step in range(target.size(1))]
        torch.testing.assert_close(torch.cat(steps, dim=1), expected, atol=1e-5, rtol=1e-5)


def test_an_early_exit_is_for_inference_and_within_the_levels():
    model = build("ringformer", "--exit-level", "2")
    with pytest.raises(UserError, match="--exit-level is for inference: to train fewer levels, set --decoder-layers"):
        model.train()
    with pytest.raises(UserError, match="--exit-level 4 must lie between 1 and 3"):
        build("ringformer", "--exit-level", "4")
    with pytest.raises(UserError, match="--exit-level 1: the model's alignments are those of level 2"):
        build("ringformer", "--alignment-layer", "1").exit_at(1)


@torch.no_grad()
def test_full_context_alignment_sees_the_whole_target(model):
    source, target = batch(model)
    changed = target.clone()
    changed[:, -1] = 4 + (changed[:, -1] - 3) % 50
    before, _ = model(source, None, target, full_context_alignment=True)
    after, _ = model(source, None, changed, full_context_alignment=True)
    assert (before[:, 0] - after[:, 0]).abs().max() > 1e-5


@torch.no_grad()
def test_retained_dropout_stays_on_in_the_modules_named():
    model = build("ringformer_tiny", "--attention-dropout", "0.1")
    source, target = batch(model)
    for module in model.modules():
        if module is not model and hasattr(module, "make_generation_fast_"):
            module.make_generation_fast_(name="", retain_dropout=True, retain_dropout_modules=["RingFormerEncoder"])
    encoded = [model.encoder(source)["encoder_out"][0] for _ in range(2)]
    assert not torch.equal(*encoded)
    encoder_out = model.encoder(source)
    assert torch.equal(*[model.decoder(target, encoder_out)[0] for _ in range(2)])


@pytest.mark.parametrize(
    "arch, flags, message",
    [
        (
            "vanilla_transformer_tiny",
            (),
            "the checkpoint is of another architecture than this RingFormerModel: it lacks",
        ),
        ("ringformer_tiny", ("--norm-sharing", "own", "--encoder-layers", "4"), "it has encoder.stack.norms"),
        (
            "ringformer_tiny",
            ("--signal-rank", "1"),
            "of another shape); use the --arch and flags that it was trained with",
        ),
    ],
)
def test_a_checkpoint_of_another_architecture_is_named(arch, flags, message):
    with pytest.raises(ValueError) as error:
        build("ringformer_tiny").load_state_dict(build(arch, *flags).state_dict())
    assert message in str(error.value)


def test_decoder_widths_follow_the_encoders_and_explicit_sizes_win():
    model = build("ringformer_base", "--encoder-embed-dim", "64", "--decoder-layers", "2", small=False)
    assert model.decoder.stack.config.embed_dim == 64
    assert (model.encoder.stack.levels, model.decoder.stack.levels) == (6, 2)


def test_pretrained_embeddings_are_read(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("1 32\nsymbol3 " + " ".join(["0.5"] * 32) + "\n")
    model = build("ringformer_tiny", "--encoder-embed-path", str(path))
    row = model.encoder.embed_tokens.weight[model.encoder.dictionary.index("symbol3")]
    assert torch.equal(row, torch.full((32,), 0.5))


@pytest.mark.parametrize("arch", ["ringformer_tiny", "universal_transformer_tiny"])
def test_levels_truly_differ_after_training(arch):
    """A ring trained on a copying task: its levels do not compute the same, though they share all but signals."""
    torch.manual_seed(0)
    model = build(arch, "--dropout", "0", "--activation-dropout", "0", "--norm-sharing", "one")
    for name, parameter in model.named_parameters():
        if name.endswith(".up"):
            torch.nn.init.zeros_(parameter)  # as before training
    x = torch.randn(2, 5, 32)

    @torch.no_grad()
    def level_outputs():
        stack = model.encoder.stack
        weights = stack.weights_for(x)
        context = context_of_a_pass(stack, x, weights)
        return [run_level(x, level, context)[0] for level in weights.levels]

    before = level_outputs()
    if arch == "ringformer_tiny":
        assert all(torch.equal(before[0], other) for other in before[1:])
    optimiser = torch.optim.Adam(model.train().parameters(), lr=1e-2)
    for step in range(20):
        source, target = batch(model, sentences=8, seed=step)
        scores, _ = model(source, None, target)
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), target.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    after = level_outputs()
    for first in range(3):
        for second in range(first):
            assert (after[first] - after[second]).abs().max() > 1e-2


@torch.no_grad()
def test_reordered_encoder_output_is_read_by_the_right_rows():
    """As fairseq's search does it: rows repeated for beams, then picked at will."""
    model = build("ringformer")
    source, target = batch(model)
    encoder_out = model.encoder(source, None)
    for order in ([0, 0, 1, 1, 2, 2], [2, 0], [1, 1, 0], [0, 1, 2]):
        rows = torch.tensor(order)
        reordered = model.encoder.reorder_encoder_out(encoder_out, rows)
        again = model.encoder.reorder_encoder_out(reordered, torch.arange(len(order)).flip(0))
        expected = model(source[rows], None, target[:1].expand(len(order), -1))[0]
        found = model.decoder(target[:1].expand(len(order), -1), encoder_out=reordered)[0]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        flipped = model.decoder(target[:1].expand(len(order), -1), encoder_out=again)[0]
        torch.testing.assert_close(flipped, expected.flip(0), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_full_context_alignment_does_not_see_padding():
    model = build("ringformer")
    source, target = batch(model)
    target[1, 5:] = model.decoder.dictionary.pad()
    together, _ = model(source, None, target, full_context_alignment=True)
    alone, _ = model(source[1:2], None, target[1:2, :5], full_context_alignment=True)
    torch.testing.assert_close(together[1:2, :5], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("alignments", [None, "align"])
def test_attention_is_there_for_who_learns_alignments(alignments):
    """fairseq's criterion label_smoothed_cross_entropy_with_alignment reads it in every training pass."""
    symbols = dictionary(60)
    task = argparse.Namespace(
        source_dictionary=symbols, target_dictionary=symbols, cfg=argparse.Namespace(load_alignments=alignments)
    )
    model = ARCH_MODEL_REGISTRY["ringformer"].build_model(parse("ringformer", *SMALL_SIZE), task).train()
    source, target = batch(model)
    (attn,) = model(source, None, target)[1]["attn"]
    if alignments is None:
        assert attn is None
    else:
        assert attn.shape == (3, 9, 7)
        attn[..., -1].sum().backward()
        assert model.encoder.embed_tokens.weight.grad.abs().max() > 0


@pytest.mark.parametrize("variant, autocast", [*((name, "none") for name in VARIANTS), ("tied", "bf16")])
@torch.no_grad()
def test_a_model_prepared_for_inference_gives_the_same_and_sees_changes(variant, autocast):
    """fairseq's hook, then the whole way: encoder, search, head."""
    arch, flags = VARIANTS[variant]
    model = build(f"{arch}_tiny", *flags)
    model.set_autocast(autocast)
    source, target = batch(model)

    def scores():
        encoder_out, state = model.encoder(source), {}
        steps = [model.decoder(target[:, : step + 1], encoder_out, state)[0] for step in range(4)]
        return torch.cat([*steps, model(source, None, target)[0]], dim=1).float()

    tolerance = 1e-4 if autocast == "none" else 0.3
    with plain():
        expected = scores()
    cfg = argparse.Namespace(generation=argparse.Namespace(beam=5, print_alignment=False))
    model.prepare_for_inference_(cfg)
    torch.testing.assert_close(scores(), expected, atol=tolerance, rtol=tolerance)
    before = scores()
    for parameter in model.parameters():
        parameter.data.mul_(0.9)
    changed = scores()
    assert not torch.equal(changed, before)
    with plain():
        torch.testing.assert_close(changed, scores(), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("flags", [(), ("--output-bias",), TIED])
@torch.no_grad()
def test_other_parts_in_a_prepared_head_are_seen(flags):
    model = build("ringformer_tiny", *flags)
    source, target = batch(model)
    model.reparameterize()
    before = model(source, None, target)[0]
    decoder = model.decoder
    if decoder.output_projection is None:
        decoder.output_bias = nn.Parameter(torch.ones_like(decoder.output_bias))
    else:
        decoder.output_projection = copy.deepcopy(decoder.output_projection)
        decoder.output_projection.weight.mul_(2)
    after = model(source, None, target)[0]
    with plain():
        torch.testing.assert_close(after, model(source, None, target)[0], atol=1e-4, rtol=1e-4)
    assert (after - before).abs().max() > 0.1


def test_what_is_put_on_the_head_takes_effect_and_is_not_prepared():
    model = build("ringformer_tiny")
    source, target = batch(model)
    before = model(source, None, target)[0]
    prune.l1_unstructured(model.decoder.output_projection, "weight", 0.5)
    for _ in range(2):
        after = model(source, None, target)[0]
        after.sum().backward()
    assert (after - before).abs().max() > 0.1
    with pytest.raises(UserError, match="output_projection has hooks, adapters or is pruned"):
        model.reparameterize()


def test_some_weights_alone_are_loaded_where_that_is_asked_for():
    model, other = build("ringformer_tiny"), build("ringformer_tiny", seed=5)
    some = {name: weight for name, weight in other.state_dict().items() if "embed_tokens" in name}
    with pytest.raises(UserError, match="another architecture"):
        model.load_state_dict(some)
    model.load_state_dict(some, strict=False)
    assert model.encoder.embed_tokens.weight.equal(other.encoder.embed_tokens.weight)


def test_positions_stand_at_the_input_or_at_every_level():
    def table(*flags, arch="ringformer_tiny"):
        return build(arch, *flags).encoder.embed_positions

    assert table() is not None and table("--signal", "steps", arch="universal_transformer_tiny") is not None
    assert table("--signal", "static") is None and table(arch="universal_transformer_tiny") is None


def test_halting_is_one_unit_for_each_side():
    def count(arch):
        return sum(parameter.numel() for parameter in build(arch).parameters())

    assert count("universal_transformer_act") == count("universal_transformer") + 2 * (32 + 1)


def test_the_scale_is_that_of_each_side():
    model = build("ringformer_tiny", "--residual-scale", "1/N", "--encoder-layers", "4")
    assert model.encoder.stack.config.residual_scale == 1 / 4
    assert model.decoder.stack.config.residual_scale == 1 / 3


def test_the_head_starts_like_the_other_weights():
    for flags, std in (((), 32**-0.5), (("--init", "normal-0.02"), 0.02)):
        model = build("ringformer_tiny", *flags, vocabulary=600)
        assert model.decoder.output_projection.weight.std().item() == pytest.approx(std, rel=0.05)
        assert model.encoder.embed_tokens.weight.std().item() == pytest.approx(32**-0.5, rel=0.05)


def test_signals_that_neither_side_has_are_refused():
    with pytest.raises(UserError, match="--signals: no side of this model has ffn.fc1"):
        build("ringformer", "--signals", "ffn.fc1:before", "--ffn-sharing", "none")
    encoder, decoder = (getattr(build("ringformer", "--signals", EVERYWHERE), side) for side in ("encoder", "decoder"))
    assert set(decoder.stack.config.signals) - set(encoder.stack.config.signals) == {
        "cross_attn.q_proj",
        "cross_attn.kv_proj",
        "cross_attn.out_proj",
    }
