import pickle

import pytest

from fairseq_ringformer.analysis.benchmark.translation.candidates import choose, parse_flags
from fairseq_ringformer.analysis.counts.parts import totals
from fairseq_ringformer.analysis.counts.translation import build_on_meta, count_parts


def pick(*flags, ours="ringformer_tiny", baseline="transformer", own=(), vocabulary=60, **options):
    return choose(ours, baseline, flags, own, vocabulary, 1, **options)


def describe(candidates):
    return [(candidate.name, *candidate.parameters()) for candidate in candidates]


def test_the_baseline_has_our_sizes_and_options():
    stock, ours = (c.build_on_meta().cfg for c in pick("--dropout", "0.3", "--encoder-normalize-before"))
    assert ours.encoder_embed_dim == stock.encoder.embed_dim == 192
    assert ours.decoder_ffn_embed_dim == stock.decoder.ffn_embed_dim == 768
    assert ours.decoder_layers == stock.decoder.layers == 3
    assert ours.encoder_attention_heads == stock.encoder.attention_heads == 4
    assert ours.activation_dropout == stock.activation_dropout == 0.1
    assert ours.dropout == stock.dropout == 0.3
    assert ours.activation_fn == stock.activation_fn == "gelu"
    assert (stock.encoder.normalize_before, stock.decoder.normalize_before) == (True, False)


def test_base_size_counts_are_the_known_ones():
    # fairseq's transformer with biases (base, without embeddings and head), and RingFormer's in the paper's Table 1.
    rows = describe(pick(ours="ringformer_base", vocabulary=8000))
    assert [(name, inner) for name, _, inner in rows] == [
        ("stock transformer", 44_138_496),
        ("ringformer_base", 8_943_616),
    ]
    assert rows[0][1] - rows[0][2] == rows[1][1] - rows[1][2] == 3 * 8000 * 512


@pytest.mark.parametrize("flags", ((), ("--share-all-embeddings",), ("--output-bias",), ("--encoder-learned-pos",)))
def test_counts_agree_with_ringformer_params(flags):
    inner, total = totals(count_parts(build_on_meta("ringformer_tiny", flags, 60, 60)))
    assert describe(pick(own=flags))[1][1:] == (total.unique, inner.unique)


def test_another_baseline_keeps_its_own_numbers():
    stock = pick(baseline="transformer_iwslt_de_en")[0].build_on_meta().cfg
    assert (stock.encoder.ffn_embed_dim, stock.decoder.attention_heads) == (1024, 4)
    vanilla, ours = pick(baseline="vanilla_transformer_small", ours="ringformer_small")
    assert vanilla.name == "vanilla_transformer_small"
    assert vanilla.build_on_meta().cfg.encoder_embed_dim == 128


def test_a_model_can_be_compared_with_itself_under_other_flags():
    baseline, ours = pick("--dropout", "0", baseline="ringformer_tiny", own=("--signal-rank", "3"))
    assert (baseline.name, ours.name) == ("ringformer_tiny (baseline)", "ringformer_tiny")
    assert (baseline.options, ours.options) == ({"dropout": 0.0}, {"dropout": 0.0, "signal_rank": 3})


def test_candidates_travel_to_other_processes():
    candidates = pick("--signal-rank", "3", baseline="ringformer_tiny")
    assert pickle.loads(pickle.dumps(candidates)) == candidates


def test_only_what_was_typed_is_set():
    assert parse_flags("ringformer_tiny", ["--dropout=0.2", "--attn-bias"]) == {"dropout": 0.2, "attn_bias": True}


@pytest.mark.parametrize(
    "message, arguments",
    (
        ("unknown architecture 'ring': choose one of fairseq's, .* or .*ringformer_base", {"ours": "ring"}),
        ("lightconv_lm is no encoder-decoder", {"baseline": "lightconv_lm"}),
        (
            'transformer does not know --signal-rank 4: .* for ringformer_tiny alone, write --own-flags="--signal-rank 4"',
            {"flags": ("--signal-rank", "4")},
        ),
        ("^ringformer_tiny does not know --beak$", {"flags": ("--beak",)}),
        ("ringformer_tiny: argument --dropout: invalid float value: 'x'", {"flags": ("--dropout", "x")}),
        (
            "ringformer_tiny cannot be built: encoder: embed_dim 192 is not divisible by the number of attention heads, 5",
            {"flags": ("--encoder-attention-heads", "5")},
        ),
        ("a vocabulary of 4 is too small: fairseq's special symbols are 4", {"vocabulary": 4}),
    ),
)
def test_mistakes_are_refused_in_words(message, arguments):
    with pytest.raises(ValueError, match=message):
        pick(*arguments.pop("flags", ()), **arguments)
