"""Language models: the same stack without an encoder, and what it becomes elsewhere."""

import argparse

import ctranslate2
import pytest
import torch
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY, build_model
from fairseq.models.transformer_lm import TransformerLanguageModel
from fairseq.sequence_generator import SequenceGenerator
from fairseq.tasks.language_modeling import LanguageModelingTask
from omegaconf import OmegaConf
from torch import nn

from fairseq_ringformer.analysis.counts.parts import totals
from fairseq_ringformer.analysis.counts.translation import build_on_meta, count_parts
from fairseq_ringformer.cli.main import main
from fairseq_ringformer.errors import UserError
from fairseq_ringformer.export.ctranslate2 import LanguageModelConverter
from fairseq_ringformer.export.fairseq_transformer import transformer_options, transformer_state
from tests.building import MODELS, dictionary

NAMES = [f"{name}_lm" for name in MODELS]
FOLDING = [name for name in NAMES if not name.startswith("universal")]
SIZES = "--decoder-embed-dim 32 --decoder-ffn-embed-dim 48 --decoder-attention-heads 4 --decoder-layers 3".split()
OPTIONS = {
    "post-norm": (),
    "pre-norm": ("--decoder-normalize-before",),
    "tied head": ("--share-decoder-input-output-embed",),
    "learned positions, biases": ("--decoder-learned-pos", "--attn-bias", "--ffn-bias"),
    "embedding norm, no scale": ("--layernorm-embedding", "--no-scale-embedding"),
    "sharing maps, scaled outputs": (
        "--self-attn-sharing",
        "cycle:2",
        "--ffn-sharing",
        "0,1,1",
        "--residual-scale",
        "1/N",
    ),
}

OF_RING = [("ringformer_lm", flags) for flags in OPTIONS.values()]


def build(arch, *flags, vocabulary=60, target=None):
    """A model with random weights, none of them at rest."""
    kind = ARCH_MODEL_REGISTRY[arch]
    parser = argparse.ArgumentParser(allow_abbrev=False, argument_default=argparse.SUPPRESS)
    kind.add_args(parser)
    args = parser.parse_args([*SIZES, *flags])
    ARCH_CONFIG_REGISTRY[arch](args)
    symbols = dictionary(vocabulary)
    torch.manual_seed(1)
    model = kind.build_model(args, LanguageModelingTask(args, symbols, target or symbols))
    for name, parameter in model.named_parameters():
        if ".signals." in name or "norm" in name or name.endswith("bias"):
            nn.init.normal_(parameter, mean=float("norm" in name and name.endswith("weight")), std=0.2)
    return model.eval()


def tokens(sentences=3, length=9, vocabulary=60):
    torch.manual_seed(2)
    found = torch.randint(4, vocabulary, (sentences, length))
    found[:, 0] = 2
    return found


@torch.no_grad()
def steps(model, text):
    state = {}
    return torch.cat(
        [model.decoder(text[:, : end + 1], incremental_state=state)[0] for end in range(text.size(1))], dim=1
    )


@pytest.mark.parametrize("arch, flags", [*((name, ()) for name in NAMES[1:]), *OF_RING])
def test_step_by_step_is_all_at_once(arch, flags):
    model, text = build(arch, *flags), tokens()
    expected = model(text)[0].detach()
    assert expected.std() > 0.1
    torch.testing.assert_close(steps(model, text), expected, rtol=0, atol=2e-5)
    changed = text.clone()
    changed[:, 5] = 4 + (changed[:, 5] + 1) % 50
    found = model(changed)[0].detach()
    torch.testing.assert_close(found[:, :5], expected[:, :5], rtol=0, atol=1e-5)
    assert (found[:, 5:] - expected[:, 5:]).abs().max() > 1e-2


@torch.no_grad()
def test_rows_keep_their_own_past_when_a_search_reorders_them():
    model, text = build("ringformer_lm"), tokens(4)
    state = {}
    for end in range(5):
        model.decoder(text[:, : end + 1], incremental_state=state)
    order = torch.tensor([2, 2, 0])
    model.decoder.reorder_incremental_state_scripting(state, order)
    again = text[order, :6].clone()
    again[:, 5] = torch.tensor([7, 8, 9])
    found = model.decoder(again, incremental_state=state)[0]
    torch.testing.assert_close(found, model(again)[0][:, -1:], rtol=0, atol=2e-5)


@torch.no_grad()
def test_a_padded_batch_is_its_texts():
    model, text = build("ringformer_lm"), tokens()
    text[1, 5:] = 1
    torch.testing.assert_close(model(text)[0][1, :5], model(text[1:2, :5])[0][0], rtol=0, atol=2e-5)


def test_fairseqs_search_goes_on_from_a_prefix():
    """Greedily, from one past by steps, what the full pass finds best."""
    model, prefix = build("ringformer_lm"), tokens(2, 4)
    generator = SequenceGenerator([model], model.decoder.dictionary, beam_size=1, max_len_b=8)
    sample = {"net_input": {"src_tokens": prefix, "src_lengths": torch.tensor([4, 4])}}
    found = generator.generate([model], sample, prefix_tokens=prefix[:, 1:], bos_token=2)
    for row, (best, *_) in enumerate(found):
        expected = prefix[row].tolist()
        while len(expected) <= len(best["tokens"]) - 1:
            scores = model(torch.tensor([expected]))[0][0, -1]
            scores[1] = -torch.inf
            expected.append(int(scores.argmax()))
        assert best["tokens"].tolist()[:-1] == expected[1:]


def expected_parameters(arch, d, ff, levels, vocabulary):
    attention, feed_forward, norm = 4 * d * d, 2 * d * ff, 2 * d
    rank = max(1, d // 16)
    return (
        2 * vocabulary * d
        + {
            "vanilla_transformer_lm": levels * (attention + feed_forward + 2 * norm),
            "one_wide_ffn_lm": levels * (attention + norm) + feed_forward + norm,
            "universal_transformer_lm": attention + feed_forward + 2 * norm,
            "ringformer_lm": attention + feed_forward + levels * (2 * norm + 4 * 2 * d * rank),
        }[arch]
    )


@pytest.mark.parametrize("size, sizes", {"tiny": (192, 768, 3), "base": (512, 2048, 6)}.items())
@pytest.mark.parametrize("arch", NAMES)
def test_parameters_by_closed_form(arch, size, sizes):
    count = totals(count_parts(build_on_meta(f"{arch}_{size}", [], 5000, 5000)))[1].unique
    assert count == expected_parameters(arch, *sizes, 5000)


def stock(model):
    cfg = OmegaConf.create(transformer_options(model))
    symbols = model.decoder.dictionary
    built = build_model(cfg, LanguageModelingTask(argparse.Namespace(), symbols), from_checkpoint=True)
    assert type(built) is TransformerLanguageModel
    built.load_state_dict(transformer_state(model), strict=True, model_cfg=cfg)
    return built.eval()


@torch.no_grad()
@pytest.mark.parametrize("arch, flags", [*((name, ()) for name in FOLDING[1:]), *OF_RING])
def test_folded_it_is_fairseqs_transformer_lm(arch, flags):
    model, text = build(arch, *flags), tokens()
    torch.testing.assert_close(stock(model)(text)[0], model(text)[0], rtol=0, atol=2e-5)


def test_coordinates_do_not_fold():
    with pytest.raises(UserError, match="static signals .* do not fold"):
        transformer_state(build("universal_transformer_lm"))


@torch.no_grad()
@pytest.mark.parametrize("arch, flags", OF_RING)
def test_ctranslate2_scores_and_goes_on_the_same(arch, flags, tmp_path):
    model, text = build(arch, *flags), tokens(2, 9)
    symbols = model.decoder.dictionary
    folder = LanguageModelConverter(model, symbols.symbols).convert(str(tmp_path / "model"))
    generator = ctranslate2.Generator(folder, intra_threads=1)
    words = [[symbols[token] for token in row] for row in text.tolist()]
    found = torch.tensor([result.log_probs for result in generator.score_batch(words)])
    expected = model(text)[0].log_softmax(-1)[:, :-1].gather(2, text[:, 1:, None])[..., 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    (result, *_) = generator.generate_batch(words[:1], max_length=4, beam_size=1, include_prompt_in_result=False)
    assert result.sequences_ids[0][0] == int(model(text[:1])[0][0, -1].argmax())


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--adaptive-softmax-cutoff", "100,200"], "--adaptive-softmax-cutoff is not supported"),
        (["--adaptive-input"], "--adaptive-input is not supported"),
        (["--decoder-layerdrop", "0.1"], "--decoder-layerdrop has no meaning here"),
        (["--signals", "cross_attn.q_proj:after"], "no side of this model has cross_attn.q_proj"),
        (["--decoder-attention-heads", "5"], "not divisible"),
    ],
)
def test_what_makes_no_model_is_one_line(flags, message):
    with pytest.raises(UserError, match=message) as error:
        build("ringformer_lm", *flags)
    assert "\n" not in str(error.value)


def test_no_alignment_without_a_source():
    model, wanted = build("ringformer_lm"), argparse.Namespace(beam=5, print_alignment="hard")
    with pytest.raises(UserError, match="--print-alignment"):
        model.prepare_for_inference_(argparse.Namespace(generation=wanted))
    wanted.lm_path = "beside a translator"
    model.prepare_for_inference_(argparse.Namespace(generation=wanted))


def test_a_tied_head_names_all_symbols():
    with pytest.raises(UserError, match="--output-dictionary-size"):
        build("ringformer_lm", "--share-decoder-input-output-embed", target=dictionary(40))
    assert build("ringformer_lm", target=dictionary(40))(tokens())[0].size(-1) == 40


def test_another_checkpoint_is_refused_in_words():
    model = build("ringformer_lm")
    with pytest.raises(UserError, match="knows 70 symbols, .* of 60 symbols"):
        model.upgrade_state_dict_named(build("ringformer_lm", vocabulary=70).state_dict(), "")
    with pytest.raises(UserError, match="another architecture"):
        model.upgrade_state_dict_named(build("vanilla_transformer_lm").state_dict(), "")


@torch.no_grad()
def test_bfloat16_computes_near_float32():
    plain, rounded = build("ringformer_lm"), build("ringformer_lm", "--autocast", "bf16")
    expected, found = (model(tokens())[0] for model in (plain, rounded))
    assert rounded.decoder.stack.self_attn[0].qkv_proj.weight.dtype == torch.float32
    assert 0 < (found.float() - expected).abs().max() < 0.2


def test_flags_and_params_know_them(capsys):
    assert main(["flags", "--arch", "ringformer_lm"]) == 0
    out = capsys.readouterr().out
    assert "--decoder-layers" in out and "--encoder-layers" not in out and "cross-attn-sharing" not in out
    assert "--ffn-widths" in out and "--decoder-ffn-widths" not in out
    assert main(["params", "--arch", "ringformer_lm_tiny", "--vocab-size", "5000", "--signal-rank", "6"]) == 0
    assert "5,000 entries" in capsys.readouterr().out
    assert main(["params", "--arch", "ringformer_lm_tiny", "--target-vocab-size", "5000"]) == 2
    assert main(["flops", "--arch", "ringformer_lm_tiny"]) == 2
    assert "language model" in capsys.readouterr().err


@torch.no_grad()
@pytest.mark.parametrize("arch, flags", [form for form in OF_RING if "--layernorm-embedding" not in form[1]])
def test_folded_it_is_an_opt_of_transformers(arch, flags, tmp_path):
    transformers = pytest.importorskip("transformers")
    from fairseq_ringformer.export.opt import opt_model

    model, text = build(arch, *flags), tokens()
    opt_model(model).save_pretrained(tmp_path)
    found = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(found).__name__ == "OPTForCausalLM"
    torch.testing.assert_close(found(text).logits, model(text)[0], rtol=0, atol=2e-5)
    best = found.generate(text[:1, :4], attention_mask=torch.ones(1, 4), do_sample=False, max_new_tokens=1)
    assert int(best[0, -1]) == int(model(text[:1, :4])[0][0, -1].argmax())


def test_what_opt_lacks_is_refused():
    pytest.importorskip("transformers")
    from fairseq_ringformer.export.opt import opt_model

    with pytest.raises(UserError, match="no --layernorm-embedding"):
        opt_model(build("ringformer_lm", "--layernorm-embedding"))
    with pytest.raises(UserError, match="do not fold"):
        opt_model(build("universal_transformer_lm"))
