"""CTranslate2 scores and searches as the ring itself."""

import ctranslate2
import pytest
import torch
from ctranslate2.specs.common_spec import LinearSpec

from fairseq_ringformer.export.ctranslate2 import RingConverter, round_to_int8
from fairseq_ringformer.export.runtime import SAFE_INT8

from .conftest import FORMS, ring
from .test_folding import stock


def convert(model, folder, quantization=None):
    converter = RingConverter(model, model.encoder.dictionary.symbols, model.decoder.dictionary.symbols)
    return ctranslate2.Translator(converter.convert(str(folder / "model"), quantization=quantization), intra_threads=1)


def sentences(dictionary, seed, lengths):
    torch.manual_seed(seed)
    return [torch.randint(4, len(dictionary), (length,)).tolist() for length in lengths]


def words(dictionary, tokens):
    return [[dictionary[token] for token in sentence] for sentence in tokens]


@torch.no_grad()
def forced(model, source, target):
    """Natural logarithms of the probabilities of the tokens of `target` and its end, one sentence at a time."""
    eos, scores = model.encoder.dictionary.eos(), []
    for left, right in zip(source, target):
        logits, _ = model(torch.tensor([[*left, eos]]), None, torch.tensor([[eos, *right]]))
        log_probabilities = logits.log_softmax(-1)[0]
        scores.append(log_probabilities[range(len(right) + 1), [*right, eos]])
    return torch.cat(scores)


def assert_scores(model, translator, tolerance=1e-4):
    source, target = (sentences(side.dictionary, 3, (1, 4, 7, 2)) for side in (model.encoder, model.decoder))
    results = translator.score_batch(words(model.encoder.dictionary, source), words(model.decoder.dictionary, target))
    found = torch.tensor([score for result in results for score in result.log_probs])
    expected = forced(model, source, target)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


# Its layers are those that fold, which test_folding.py has in every form.
@pytest.mark.parametrize("name", ["ours", "one wide ffn, SharedEncNoDec", "wide middle"])
def test_forms_score_the_same(name, norm_flags, tmp_path):
    arch, flags = FORMS[name]
    model = ring(arch, *norm_flags, *flags)
    assert_scores(model, convert(model, tmp_path))


def test_every_option_scores_the_same(any_options, tmp_path):
    assert_scores(any_options, convert(any_options, tmp_path))


def test_another_epsilon_is_kept(tmp_path):
    model = ring("ringformer", "--norm-eps", "0.1", "--layernorm-embedding")
    assert {norm.eps for norm in model.modules() if isinstance(norm, torch.nn.LayerNorm)} == {0.1}
    assert_scores(model, convert(model, tmp_path))


@pytest.mark.parametrize("flags", [(), ("--share-all-embeddings",)])
def test_an_output_bias_is_kept(flags, tmp_path):
    model = ring("ringformer", "--output-bias", *flags)
    (bias,) = [weight for name, weight in model.named_parameters() if name.endswith(("output_bias", "projection.bias"))]
    torch.nn.init.normal_(bias)
    assert_scores(model, convert(model, tmp_path))


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_accurate", "tanh"])
def test_activations_score_the_same(activation, tmp_path):
    model = ring("ringformer", "--activation-fn", activation)
    assert_scores(model, convert(model, tmp_path))


def test_other_activations_are_refused():
    model = ring("ringformer", "--activation-fn", "linear")
    with pytest.raises(ValueError, match="CTranslate2 has no activation linear: it knows relu, gelu"):
        RingConverter(model, model.encoder.dictionary.symbols, model.decoder.dictionary.symbols)


@pytest.mark.parametrize(
    "option, value, flag",
    [
        ("adaptive_softmax_cutoff", "10,20", "--adaptive-softmax-cutoff"),
        ("no_decoder_final_norm", True, "--no-decoder-final-norm"),
        ("decoder_output_dim", 16, "--decoder-output-dim"),
    ],
)
def test_what_ctranslate2_does_not_have_is_refused(option, value, flag):
    model = stock(ring("ringformer", "--decoder-normalize-before"), {option: value})
    with pytest.raises(ValueError, match=f"CTranslate2 has no model with {flag}"):
        RingConverter(model, model.encoder.dictionary.symbols, model.decoder.dictionary.symbols)


def test_other_dictionaries_are_refused():
    model = ring("ringformer", target_vocabulary=50)
    with pytest.raises(ValueError, match="it knows 50 target symbols, the dictionary names 60"):
        RingConverter(model, model.encoder.dictionary.symbols, model.encoder.dictionary.symbols)


def test_levels_are_stored_once(tmp_path):
    """A ring of N levels holds its shared weights once, a vanilla model N times."""
    sizes = {}
    for arch in ("ringformer", "vanilla_transformer"):
        for levels in ("2", "6"):
            folder = tmp_path / (arch + levels)
            folder.mkdir()
            convert(ring(arch, "--encoder-layers", levels, "--decoder-layers", levels), folder)
            sizes[arch, levels] = (folder / "model" / "model.bin").stat().st_size
    d, ffn = 32, 48
    matrices = {"vanilla_transformer": 4 * d + 8 * d + 4 * ffn, "ringformer": 3 * d + 3 * d + 2 * ffn}
    for arch, columns in matrices.items():
        grown = sizes[arch, "6"] - sizes[arch, "2"]
        assert grown == pytest.approx(4 * 4 * d * columns, rel=0.15), arch  # what is left are norms and names


def test_converting_does_not_change_the_model(tmp_path):
    model = ring("ringformer")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    convert(model, tmp_path, "int8")
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_int8_is_near(tmp_path):
    model = ring("ringformer")
    with pytest.raises(AssertionError):
        assert_scores(model, convert(model, tmp_path, "int8"))
    assert_scores(model, ctranslate2.Translator(str(tmp_path / "model"), intra_threads=1), tolerance=0.3)
    width = {"int8": 1, "float32": 4}
    for quantization in width:
        folder = tmp_path / quantization
        folder.mkdir()
        convert(model, folder, quantization)
        width[quantization] = (folder / "model" / "model.bin").stat().st_size
    assert width["int8"] < width["float32"]


@pytest.mark.parametrize("rows", [torch.randn(3, 8), torch.zeros(3, 8), torch.full((3, 8), 1e-38)])
def test_int8_weights_leave_room_for_the_sum_of_two(rows):
    """Where a processor adds two products in 16 bits, larger ones would overflow."""
    spec = LinearSpec()
    spec.weight = rows
    spec.validate()
    round_to_int8(spec, "decoder/layer_0/weight", spec.weight)
    scale, rounded = spec.weight_scale.numpy(), spec.weight.numpy()
    assert rounded.dtype == "int8" and abs(rounded).max() in (0, SAFE_INT8) and 2 * 255 * SAFE_INT8 < 2**15
    torch.testing.assert_close(torch.tensor(rounded / scale[:, None]), rows, rtol=0, atol=0.5 / scale.min() + 1e-30)


@torch.no_grad()
def test_greedy_search_takes_the_same_tokens(tmp_path):
    model = ring("ringformer", "--share-all-embeddings")
    translator = convert(model, tmp_path)
    dictionary = model.encoder.dictionary
    source = sentences(dictionary, 4, (3, 5, 8))
    results = translator.translate_batch(
        words(dictionary, source), beam_size=1, max_decoding_length=12, suppress_sequences=[["<pad>"]]
    )
    for tokens, result in zip(source, results):
        found = []
        while len(found) < 12:
            logits, _ = model(
                torch.tensor([[*tokens, dictionary.eos()]]), None, torch.tensor([[dictionary.eos(), *found]])
            )
            logits[..., dictionary.pad()] = -torch.inf
            if not found:
                logits[..., dictionary.eos()] = -torch.inf
            best = int(logits[0, -1].argmax())
            if best == dictionary.eos():
                break
            found.append(best)
        assert result.hypotheses[0] == [dictionary[token] for token in found]
