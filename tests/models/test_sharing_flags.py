import pytest

from tests.building import ABLATIONS, MODELS, WIDE_FFN, build


def stacks(*args, **kwargs):
    model = build(*args, **kwargs)
    return model.encoder.stack, model.decoder.stack


def test_the_rows_of_the_design_are_the_defaults():
    own, one = (0, 1, 2), (0, 0, 0)
    expected = {
        "vanilla_transformer": (own, own, own, "none"),
        "universal_transformer": (one, one, one, "static"),
        "ringformer": (one, one, own, "low-rank"),
    }
    for model, (attn, ffn, norm, signal) in expected.items():
        for stack in stacks(f"{model}_tiny"):
            config = stack.config
            assert (config.self_attn, config.ffn, config.norm, config.signal) == (attn, ffn, norm, signal)
    encoder, decoder = stacks("one_wide_ffn_tiny")
    assert (encoder.config.self_attn, encoder.config.ffn, encoder.config.ffn_norm) == (own, one, one)
    assert (decoder.config.cross_attn, decoder.config.ffn) == (own, None)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("part", ["self_attn", "cross_attn", "ffn", "norm"])
def test_the_sides_flag_wins_over_the_common_flag(model, part):
    flag = part.replace("_", "-")
    encoder, decoder = stacks(f"{model}_tiny", f"--{flag}-sharing", "0,1,0", f"--decoder-{flag}-sharing", "sequence:2")
    assert getattr(decoder.config, part) == (0, 0, 1)
    assert getattr(encoder.config, part) == (None if part == "cross_attn" else (0, 1, 0))


def test_the_common_flag_wins_over_the_architecture_on_both_sides():
    encoder, decoder = stacks("one_wide_ffn_tiny", "--ffn-sharing", "own")
    assert encoder.config.ffn == decoder.config.ffn == (0, 1, 2)


@pytest.mark.parametrize(
    "variant, copies",
    [
        ("SharedEnc", (1, 3)),
        ("SharedDec", (3, 1)),
        ("SharedEncSharedDec", (1, 1)),
        ("SharedEncDec", (1, 1)),
        ("NoDec", (3, 0)),
        ("SharedEncNoDec", (1, 0)),
    ],
)
def test_the_variants_of_one_wide_ffn(variant, copies):
    encoder, decoder = stacks("one_wide_ffn_tiny", *WIDE_FFN[variant])
    assert (len(encoder.ffn), len(decoder.ffn or ())) == copies
    assert (decoder.ffn is encoder.ffn) == (variant == "SharedEncDec")
    # One norm goes with one feed-forward.
    assert [len(stack.norms["ffn"]) for stack in (encoder, decoder) if "ffn" in stack.norms] == [c for c in copies if c]


def test_the_widened_feed_forward():
    encoder, _ = stacks("one_wide_ffn_base", "--encoder-ffn-embed-dim", "24576", small=False)
    assert encoder.ffn.at(0).fc1.out_features == 24_576


def test_norms_per_level_and_apart():
    encoder, decoder = stacks("ringformer_tiny", "--norm-per", "level", "--ffn-norm-sharing", "one")
    assert {name: len(bank) for name, bank in decoder.norms.items()} == {"level": 3, "ffn": 1}
    encoder, decoder = stacks("one_wide_ffn_tiny", "--ffn-norm-sharing", "as-norms", "--decoder-norm-sharing", "one")
    assert {name: len(bank) for name, bank in encoder.norms.items()} == {"level": 3}
    assert {name: len(bank) for name, bank in decoder.norms.items()} == {"level": 1}


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--ffn-sharing", "0,0"), "--ffn-sharing: '0,0' names 2 levels, but there are 3"),
        (
            ("--encoder-self-attn-sharing", "0,2,2"),
            "--encoder-self-attn-sharing: '0,2,2' has a gap: copy 1 is used by no level",
        ),
        (
            ("--ffn-widths", "48,96"),
            "--ffn-widths: '48,96' is not a width for each copy of the feed-forward, which has 1",
        ),
        (("--decoder-ffn-widths", "wide"), "--decoder-ffn-widths: cannot read 'wide'; use one width for each copy"),
        (("--signal", "static", "--attention-signal", "after"), "--signal static excludes --attention-signal"),
        (("--signal-rank", "33"), "encoder: signal rank 33 must lie between 1 and the embedding width, 32"),
        (
            ("--encoder-attention-heads", "5"),
            "encoder: embed_dim 32 is not divisible by the number of attention heads, 5",
        ),
        (("--decoder-embed-dim", "30"), "decoder: embed_dim 30 is not divisible by the number of attention heads, 4"),
        (("--signal", "static", "--decoder-learned-pos"), "--signal static excludes --decoder-learned-pos"),
        (
            ("--signal", "static", "--no-token-positional-embeddings"),
            "--signal static excludes --no-token-positional-embeddings: it adds sinusoids before every level",
        ),
        (("--signal-lr-scale", "nan"), "--signal-lr-scale nan must be above 0"),
        (
            ("--ffn-sharing", "none", "--ffn-norm-sharing", "own"),
            "--ffn-norm-sharing has no meaning here: there is no feed-forward",
        ),
        (("--ffn-sharing", "none", "--ffn-bias"), "--ffn-bias has no meaning here: there is no feed-forward"),
        (("--ffn-sharing", "none", "--ffn-signal", "inter"), "--ffn-signal has no meaning here"),
        (
            ("--decoder-ffn-sharing", "none", "--decoder-ffn-norm-sharing", "own"),
            "--decoder-ffn-norm-sharing has no meaning here",
        ),
        (("--encoder-layerdrop", "0.1"), "--encoder-layerdrop has no meaning here"),
        (("--decoder-layers-to-keep", "0,2"), "--decoder-layers-to-keep has no meaning here"),
        (("--offload-activations",), "--offload-activations is not supported: use --checkpoint-activations"),
        (("--decoder-layers", "0"), "--decoder-layers 0: a stack needs at least one level"),
        (("--norm-eps", "0"), "--norm-eps 0.0 must be above 0"),
        (("--attention-dropout", "2"), "encoder: attention_dropout 2.0 must lie between 0 and 1"),
        (("--decoder-ffn-embed-dim", "-1"), "decoder: ffn_dim -1 must be at least 1"),
        (("--max-target-positions", "-1"), "--max-target-positions -1 must be at least 1"),
        (("--alignment-layer", "3"), "--alignment-layer 3 must lie between 0 and 2"),
        (("--alignment-layer", "-1"), "--alignment-layer -1 must lie between 0 and 2"),
        (("--alignment-heads", "5"), "--alignment-heads 5 must lie between 1 and 4"),
        (
            ("--share-encoder-decoder-ffn", "--decoder-ffn-embed-dim", "64"),
            "--share-encoder-decoder-ffn needs equal widths: --encoder-ffn-embed-dim and --decoder-ffn-embed-dim",
        ),
        (("--share-encoder-decoder-ffn", "--decoder-ffn-sharing", "none"), "needs a feed-forward on both sides"),
        (
            ("--share-all-embeddings", "--decoder-embed-dim", "64"),
            "needs --encoder-embed-dim equal to --decoder-embed-dim",
        ),
    ],
)
def test_impossible_options_are_refused_by_name(flags, message):
    with pytest.raises(ValueError) as error:
        build("ringformer_tiny", *flags)
    assert message in str(error.value)


def test_shared_embeddings_need_a_joined_dictionary():
    with pytest.raises(ValueError, match="--share-all-embeddings needs a joined dictionary"):
        build("ringformer_tiny", "--share-all-embeddings", target_vocabulary=70)


def test_the_encoder_has_no_cross_attention_flag(capsys):
    with pytest.raises(SystemExit):
        build("ringformer_tiny", "--encoder-cross-attn-sharing", "one")
    assert "unrecognized arguments: --encoder-cross-attn-sharing" in capsys.readouterr().err


@pytest.mark.parametrize("row", ABLATIONS)
def test_every_ablation_row_is_reachable(row):
    arch, flags = ABLATIONS[row]
    encoder, _ = stacks(f"{arch}_small", *flags, small=False)
    config = encoder.config
    assert (
        config.signal,
        config.signals.get("self_attn.qkv_proj", "none"),
        config.signals.get("ffn.fc1", "none"),
        config.rank if config.signal == "low-rank" else 0,
    ) == {
        "static signal": ("static", "none", "none", 0),
        "w/o attention signal": ("low-rank", "none", "before", 8),
        "w/o FF signal": ("low-rank", "after", "none", 8),
        "before attention": ("low-rank", "before", "before", 8),
        "inter-FF": ("low-rank", "after", "after", 8),
        "rank H/32": ("low-rank", "after", "before", 4),
        "rank H/8": ("low-rank", "after", "before", 16),
        "full rank": ("full-rank", "after", "before", 0),
        "ours": ("low-rank", "after", "before", 8),
    }[row]
