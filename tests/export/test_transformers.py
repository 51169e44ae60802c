"""In transformers, a ring scores and searches as in fairseq."""

import pytest
import torch
from fairseq.sequence_generator import SequenceGenerator
from transformers import AutoModelForSeq2SeqLM

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.export.transformers import NEVER, never, to_transformers
from tests.building import batch

from .conftest import BOTH_PRE_NORM, ring
from .test_folding import stock

FORMS = {
    "ring": ("ringformer", ("--decoder-layers", "2", "--decoder-attention-heads", "2")),
    "tied head": ("ringformer", ("--share-decoder-input-output-embed", "--activation-fn", "gelu_accurate")),
    "shared embeddings": ("ringformer", ("--share-all-embeddings", "--no-scale-embedding")),
    "one wide ffn": ("one_wide_ffn", ("--attn-bias", "--ffn-bias")),
    "vanilla": ("vanilla_transformer", ("--decoder-ffn-embed-dim", "24", "--activation-fn", "gelu")),
}
KINDS = {False: "FSMTForConditionalGeneration", True: "M2M100ForConditionalGeneration"}
# Sizes of the source and the target dictionary.
VOCABULARIES = [(60, 60), (60, 40), (40, 60)]


def build(name, norm_flags, sizes=(60, 60)):
    arch, flags = FORMS[name]
    vocabulary, target = sizes
    return ring(
        arch, *norm_flags, *flags, vocabulary=vocabulary, target_vocabulary=target if target != vocabulary else 0
    )


def saved(model, folder, rows=None, **options):
    """`model` as somebody else loads it."""
    rows = range(len(model.encoder.dictionary)) if rows is None else rows
    to_transformers(model, rows, **options).save_pretrained(folder)
    return AutoModelForSeq2SeqLM.from_pretrained(folder).eval()


@torch.no_grad()
def scores(model, source, target):
    """Log probabilities of every target symbol, at every position."""
    out = model(input_ids=source, attention_mask=source.ne(1), decoder_input_ids=target, use_cache=False)
    return out.logits.log_softmax(-1)


@torch.no_grad()
def assert_same(ring, model, tolerance=1e-5):
    source, target = batch(ring)
    expected = ring(source, None, target)[0].log_softmax(-1)
    found = scores(model, source, target)
    assert expected.std() > 0.1
    torch.testing.assert_close(found[..., : expected.size(-1)], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", FORMS)
def test_every_form_scores_the_same(name, norm_flags, tmp_path):
    model = build(name, norm_flags)
    found = saved(model, tmp_path)
    assert type(found).__name__ == KINDS[bool(norm_flags)]
    assert found.config.tie_word_embeddings == (name == "shared embeddings")
    assert_same(model, found)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
    ]


@pytest.mark.parametrize("sizes", VOCABULARIES[1:])
def test_dictionaries_of_other_sizes(sizes, norm_flags, tmp_path):
    model = build("ring", norm_flags, sizes)
    assert_same(model, saved(model, tmp_path))


def test_rows_of_the_tokenizer(norm_flags, tmp_path):
    """An id has the embedding of another symbol; one behind the dictionary cannot be translated to."""
    model = build("shared embeddings", norm_flags)
    rows = [*range(4), *range(59, 3, -1), 3, 3]
    found = saved(model, tmp_path, rows)
    source, target = batch(model)
    expected = model(source, None, target)[0].log_softmax(-1)
    assert found.get_input_embeddings().num_embeddings == 62
    of_id = torch.tensor([rows.index(symbol) for symbol in range(60)])
    got = scores(found, of_id[source], target)
    torch.testing.assert_close(got[..., :60], expected, rtol=0, atol=1e-5)
    assert (got[..., 60:] < NEVER / 2).all()
    unknown = torch.where(source == 7, 3, source)
    ids = torch.where(source == 7, 61, of_id[source])
    torch.testing.assert_close(scores(found, ids, target), scores(found, of_id[unknown], target), rtol=0, atol=1e-6)


def searched(model, source, beam, longest):
    generator = SequenceGenerator([model], model.decoder.dictionary, beam_size=beam, max_len_b=longest)
    sample = {"net_input": {"src_tokens": source, "src_lengths": source.ne(1).sum(1)}}
    return [[found["tokens"].tolist() for found in beams] for beams in generator.generate([model], sample)]


@pytest.mark.parametrize(
    ("sizes", "beam"),
    [
        (VOCABULARIES[0], 5),
        (VOCABULARIES[1], 1),
        *(pytest.param(sizes, 5, marks=pytest.mark.slow) for sizes in VOCABULARIES[1:]),
    ],
)
@torch.no_grad()
def test_searches_are_fairseqs(sizes, beam, norm_flags, tmp_path):
    longest, ended = 20, []
    model = stock(build("ring", norm_flags, sizes))
    norm = model.decoder.layer_norm if norm_flags else model.decoder.layers[-1].final_layer_norm
    source, _ = batch(model, sentences=20)
    for _ in range(6):  # sentences end sooner each time
        model.decoder.output_projection.weight[2] += 0.7 / NEVER * never(norm.weight, norm.bias)
        found = saved(model, tmp_path, longest=longest)
        rows = found.generate(input_ids=source, attention_mask=source.ne(1), num_beams=beam).tolist()
        for hypotheses, row in zip(searched(model, source, beam, longest), rows):
            # Ended there, fairseq counts the probability of the end, and transformers does not.
            if max(map(len, hypotheses)) <= longest:
                best = hypotheses[0]
                assert row[: len(best) + 1] == [2, *best] and set(row[len(best) + 1 :]) <= {1}
                ended.append(len(best))
    assert len(ended) > 20 and (beam == 1 or len(set(ended)) > 2)


def test_the_search_that_is_saved(norm_flags, tmp_path):
    model = build("ring", norm_flags)
    config = saved(model, tmp_path).generation_config
    assert (config.num_beams, config.early_stopping, config.length_penalty) == (5, True, 1.0)
    assert (config.min_length, config.max_length) == (2, 202)


def test_a_row_that_never_scores():
    torch.manual_seed(1)
    norm = torch.nn.LayerNorm(32)
    torch.nn.init.normal_(norm.weight, 1, 0.2)
    torch.nn.init.normal_(norm.bias, 0, 0.2)
    x = norm(5 * torch.randn(100, 32) + 3)
    torch.testing.assert_close(x @ never(norm.weight, norm.bias), torch.full((100,), NEVER), rtol=0, atol=1e-3)
    assert never(norm.weight, torch.zeros(32)) is None


@torch.no_grad()
def test_before_any_training_other_rows_are_suppressed(tmp_path):
    model = stock(build("ring", BOTH_PRE_NORM, (60, 40)))
    torch.nn.init.zeros_(model.decoder.layer_norm.bias)
    found = saved(model, tmp_path, longest=10)
    source, _ = batch(model)
    assert found.generate(input_ids=source, attention_mask=source.ne(1)).max() < 40


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--output-bias",), "--output-bias; --to ctranslate2 keeps it"),
        (("--norm-eps", "0.1"), "--norm-eps other than 1e-05"),
        (("--layernorm-embedding",), "--layernorm-embedding"),
        (("--encoder-learned-pos",), "learned positions"),
        (("--no-token-positional-embeddings",), "no positions"),
        (("--decoder-embed-dim", "40"), "sides of different --encoder-embed-dim and --decoder-embed-dim"),
        (("--decoder-normalize-before",), "norms before on one side and after on the other"),
    ],
)
def test_what_does_not_fit_is_refused(flags, message):
    with pytest.raises(UserError, match=f"transformers has no model with {message}"):
        to_transformers(ring("ringformer", *flags), range(60))


def test_static_signals_are_refused():
    with pytest.raises(UserError, match="static signals .* do not fold"):
        to_transformers(ring("universal_transformer"), range(60))


# The other two are in test_ctranslate2.py.
def test_what_only_fairseqs_transformer_has_is_refused():
    model = stock(ring("ringformer", *BOTH_PRE_NORM), {"adaptive_softmax_cutoff": "10,20"})
    with pytest.raises(UserError, match="transformers has no model with --adaptive-softmax-cutoff"):
        to_transformers(model, range(60))
