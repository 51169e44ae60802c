"""Folded into plain layers, a ring is the same function: checked with fairseq's own transformer."""

import argparse
import enum

import numpy
import pytest
import torch
from fairseq.models import build_model
from fairseq.models.transformer import TransformerModel
from fairseq.models.transformer_align import TransformerAlignModel
from fairseq.sequence_generator import SequenceGeneratorWithAlignment
from fairseq.tasks.translation import TranslationTask
from omegaconf import OmegaConf

from fairseq_ringformer.export.fairseq_transformer import (
    fold_checkpoint,
    plain_containers,
    transformer_options,
    transformer_state,
)
from fairseq_ringformer.export.folding import plain_layers
from fairseq_ringformer.export.loading import load_model
from tests.building import batch

from .conftest import ring


def stock(model, options=(), kind=TransformerModel):
    """fairseq's transformer from the folded weights, which it must take to the last one; with other options, a new one."""
    cfg = OmegaConf.create({**transformer_options(model), **dict(options)})
    task = TranslationTask(argparse.Namespace(eval_bleu=False), model.encoder.dictionary, model.decoder.dictionary)
    built = build_model(cfg, task, from_checkpoint=True)
    assert type(built) is kind
    if not options:
        built.load_state_dict(transformer_state(model), strict=True, model_cfg=cfg)
    return built.eval()


@torch.no_grad()
def assert_same(model, folded, tolerance=1e-5):
    source, target = batch(model)
    expected, _ = model(source, None, target)
    found, _ = folded(source, None, target)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def test_every_form_is_fairseqs_transformer(any_form):
    # A post-norm stack without feed-forward is normalised once more, by a norm that changes it by its epsilon only.
    stacks = (any_form.encoder.stack, any_form.decoder.stack)
    twice = any(stack.ffn is None and stack.final_norm is None for stack in stacks)
    assert_same(any_form, stock(any_form), 1e-4 if twice else 1e-5)


def test_every_option_is_fairseqs_transformer(any_options):
    assert_same(any_options, stock(any_options))


def test_an_early_exit_folds_into_fewer_layers():
    model = ring("ringformer")
    model.exit_at(2)
    assert_same(model, stock(model))


ALIGNMENT = {
    "layer": ("--alignment-layer", "1"),
    "layer, heads": ("--alignment-layer", "0", "--alignment-heads", "2"),
    "heads of the last": ("--alignment-heads", "1"),
    "full context": ("--full-context-alignment",),
    "full context, layer, heads": ("--full-context-alignment", "--alignment-layer", "1", "--alignment-heads", "3"),
}


@pytest.mark.parametrize("flags", ALIGNMENT.values(), ids=ALIGNMENT)
@pytest.mark.parametrize("arch", ["ringformer", "vanilla_transformer"])
@torch.no_grad()
def test_alignments_are_those_of_fairseqs_transformer_align(arch, flags):
    """In training, and as fairseq-generate --print-alignment reads them."""
    model = ring(arch, *flags)
    folded = stock(model, kind=TransformerAlignModel)
    source, target = batch(model)
    target[1, 5:] = model.decoder.dictionary.pad()
    (found, of_ring), (expected, of_stock) = (one(source, None, target) for one in (model, folded))
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-5)
    for row, length in enumerate((9, 5, 9)):
        rows = [extra["attn"][0][row, :length] for extra in (of_ring, of_stock)]
        assert rows[0].std() > 1e-3
        torch.testing.assert_close(*rows, rtol=0, atol=1e-5)
    model.decoder.make_generation_fast_(need_attn="soft")
    alignments = []
    for one in (model, folded):
        generator = SequenceGeneratorWithAlignment(
            [one], model.decoder.dictionary, print_alignment="soft", beam_size=3, max_len_b=6
        )
        sample = {"net_input": {"src_tokens": source, "src_lengths": source.ne(1).sum(1)}}
        found = [best["alignment"] for best, *_ in generator.generate([one], sample)]
        alignments.append(torch.tensor([float(weight) for rows in found for row in rows for weight in row]))
    torch.testing.assert_close(*alignments, rtol=0, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu_accurate", "linear"])
def test_any_activation(activation):
    model = ring("ringformer", "--activation-fn", activation)
    assert_same(model, stock(model))


@torch.no_grad()
def test_a_fold_is_the_signal_in_the_weight():
    model = ring("ringformer")
    stack = model.decoder.stack
    x = torch.randn(5, 32)
    queries_keys_values = stack.self_attn[0].qkv_proj.weight.chunk(3)
    attn, ffn = stack.signals_at("self_attn.qkv_proj"), stack.signals_at("ffn.fc1")
    for level, layer in enumerate(plain_layers(stack)):
        for part, (name, shared) in enumerate(zip("qkv", queries_keys_values)):
            expected = x @ shared.T + x @ attn.down[level, part].T @ attn.up[level, part].T
            torch.testing.assert_close(x @ layer[f"self_attn.{name}_proj.weight"].T, expected, atol=1e-5, rtol=1e-5)
        moved = x + x @ ffn.down[level, 0].T @ ffn.up[level, 0].T
        torch.testing.assert_close(x @ layer["fc1.weight"].T, moved @ stack.ffn[0].fc1.weight.T, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("flags", [(), ("--residual-scale", "1/N")])
def test_what_levels_share_is_stored_once(flags):
    first, *rest = plain_layers(ring("ringformer", *flags).decoder.stack)
    shared = {name for name in first if all(layer[name].data_ptr() == first[name].data_ptr() for layer in rest)}
    assert shared == {
        "self_attn.out_proj.weight",
        "fc2.weight",
        *(f"encoder_attn.{part}_proj.weight" for part in ("q", "k", "v", "out")),
    }
    own = {layer["self_attn.q_proj.weight"].data_ptr() for layer in (first, *rest)}
    assert len(own) == 3


def test_a_file_holds_shared_weights_once(tmp_path):
    sizes = {}
    for arch in ("ringformer", "vanilla_transformer"):
        model = ring(arch, "--share-all-embeddings", "--encoder-layers", "6", "--decoder-layers", "6")
        torch.save(transformer_state(model), tmp_path / arch)
        sizes[arch] = (tmp_path / arch).stat().st_size
    # Of 16 d x d matrices of a decoder level (the feed-forward is 1.5 d wide), 6 are the same everywhere.
    assert sizes["ringformer"] < 0.75 * sizes["vanilla_transformer"]


def test_no_feed_forward_is_one_channel():
    options = transformer_options(ring("one_wide_ffn"))
    assert (options["encoder_ffn_embed_dim"], options["decoder_ffn_embed_dim"]) == (48, 1)


@pytest.mark.parametrize("flags", [(), ("--ffn-sharing", "own")])
def test_static_signals_do_not_fold(flags):
    with pytest.raises(ValueError, match=r"static signals \(Universal Transformer\) do not fold: they are added"):
        transformer_state(ring("universal_transformer", *flags))


@pytest.mark.parametrize("flags", [(), ("--signal", "none")])
def test_halting_does_not_fold(flags):
    with pytest.raises(ValueError, match="adaptive halting does not fold: plain layers run for every position alike"):
        transformer_state(ring("universal_transformer_act", *flags))


def test_steps_do_not_fold():
    with pytest.raises(ValueError, match="steps do not fold: they are added to the state before"):
        transformer_state(ring("ringformer", "--signal", "steps"))


@pytest.mark.parametrize("flags", [(), ("--share-all-embeddings",)])
def test_an_output_bias_does_not_fold(flags):
    with pytest.raises(ValueError, match="has an output bias, .* train without --output-bias, or use ringformer"):
        transformer_state(ring("ringformer", "--output-bias", *flags))


def test_another_epsilon_does_not_fold():
    with pytest.raises(
        ValueError, match="epsilon of 0.1, fairseq's transformer knows 1e-05 alone: use ringformer export"
    ):
        transformer_state(ring("ringformer", "--norm-eps", "0.1"))


def test_options_are_plain():
    color = enum.Enum("color", ["red"])
    name = type("name", (str,), {})("e")
    numbers = [numpy.float64(1.5), (numpy.int64(2),)]
    nested = {"a": argparse.Namespace(b=numbers, c=color.red), "d": name, "f": None}
    plain = plain_containers(nested)
    assert plain == {"a": {"b": [1.5, [2]], "c": 1}, "d": "e", "f": None}
    assert [type(value) for value in (plain["a"], plain["a"]["b"][0], plain["a"]["b"][1][0], plain["d"])] == [
        dict,
        float,
        int,
        str,
    ]


def checkpoint(model, **options):
    cfg = {"model": {**vars(model.cfg), "_name": "ringformer", **options}, "common": {"user_dir": "somewhere"}}
    return {"args": None, "cfg": cfg, "model": model.state_dict(), "optimizer_history": []}


def test_a_checkpoint_is_folded_whole():
    model = ring("ringformer", "--share-all-embeddings")
    loaded = load_model(checkpoint(model))
    assert_same(model, loaded, 0)
    folded = fold_checkpoint(checkpoint(model), loaded)
    assert folded["args"] is None and folded["cfg"]["common"] == {"user_dir": None}
    assert (folded["cfg"]["model"]["_name"], folded["cfg"]["model"]["arch"]) == ("transformer", "transformer")
    assert folded["model"]["decoder.output_projection.weight"] is folded["model"]["encoder.embed_tokens.weight"]
    assert_same(model, load_model(folded))


def test_half_precision_is_folded_in_full():
    model = ring("ringformer")
    half = {name: weight.half() for name, weight in model.state_dict().items()}
    model.load_state_dict({name: weight.float() for name, weight in half.items()})
    loaded = load_model({**checkpoint(model), "model": half})
    assert {weight.dtype for weight in transformer_state(loaded).values()} == {torch.float32}
    assert_same(model, stock(loaded))


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(_name="fconv"), "its architecture is fconv: neither one of this plug-in nor fairseq's transformer"),
        (dict(encoder_layers=2), "of another architecture than this RingFormerModel"),
    ],
)
def test_what_cannot_be_loaded(change, message):
    with pytest.raises(ValueError, match=message):
        load_model(checkpoint(ring("ringformer"), **change))


def test_diverged_weights_are_refused():
    model = ring("ringformer")
    model.encoder.stack.ffn[0].fc1.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="encoder.stack.ffn.0.fc1.weight is not a number .NaN. in places"):
        load_model(checkpoint(model))
