import shlex

import pytest
import torch

from fairseq_ringformer.analysis.counts import vision as classifiers
from fairseq_ringformer.analysis.counts.paper import as_flags, count_table, paper_tables
from fairseq_ringformer.analysis.counts.parts import totals
from fairseq_ringformer.analysis.counts.translation import build_on_meta, count_parts
from tests.building import ABLATIONS, MODELS, WIDE_FFN, build
from tests.docs.markdown import ROOT, split
from tests.vision.models import RINGS, TINY, small

# Written out here once more: the tables must not be able to agree with themselves alone.
TABLE_1 = [44_052_480, 20_984_832, 7_345_152, 8_943_616, 176_185_344, 83_912_704, 29_370_368, 35_713_024]
TABLE_2 = [19_360_868, 3_598_948, 4_506_732, 4_395_620, 8_940_756, 8_836_788, 8_857_188, 8_824_348]
TABLE_3 = [86_416_360, 34_452_712, 8_449_768, 12_022_504, 31_988_800, 31_953_324]
TABLE_4 = [20_480_032, 20_511_008, 20_560_160, 20_584_736, 20_621_600, 20_535_584, 20_683_040, 21_272_864, 20_584_736]


@pytest.mark.parametrize("table, expected", [(1, TABLE_1), (2, TABLE_2), (3, TABLE_3), (4, TABLE_4)])
def test_the_papers_tables_to_the_last_digit(table, expected):
    assert [row["parameters"] for row in count_table(table)] == expected


def test_two_rows_of_table_4_are_misfits_and_said_to_be():
    assert all(row["exact"] and row["note"] is None for table in (1, 2, 3) for row in count_table(table))
    misfits = {row["model"]: row["note"] for row in count_table(4) if not row["exact"]}
    assert set(misfits) == {"w/o FF signal", "inter-FF"}
    assert misfits["w/o FF signal"].startswith("-0.03M: the paper's figures") and "swapped" in misfits["inter-FF"]


def test_inter_ff_at_rank_4_is_the_figure_printed_for_the_other_row():
    """What the note says: the feed-forward signal alone at rank 4, the attention's at the usual 8."""
    signals = [
        c.unique
        for rank in ("8", "4")
        for c in count_parts(
            build_on_meta(
                "ringformer_small", ["--ffn-signal", "inter", "--attention-signal", "none", "--signal-rank", rank]
            )
        )
        if c.part.endswith("signals")
    ]
    assert TABLE_4[4] - sum(signals[:2]) + sum(signals[2:]) == 20_590_880


def test_the_static_ring_keeps_its_own_norms():
    counts = count_parts(build_on_meta("ringformer_small", ["--signal", "static", "--output-bias"]))
    assert totals(counts)[1].unique == 20_486_432


@pytest.mark.parametrize(
    "flags, expected",
    [
        (["--norm-per", "sublayer"], 44_070_912),  # one norm per sub-layer, as is usual
        (["--norm-per", "sublayer", "--attn-bias", "--ffn-bias"], 44_138_496),  # a stock fairseq transformer
    ],
)
def test_other_readings_of_vanilla(flags, expected):
    assert totals(count_parts(build_on_meta("vanilla_transformer_base", flags)))[0].unique == expected


def test_vanilla_with_biases_has_the_parameters_of_fairseqs_own_transformer():
    import argparse

    from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY

    from tests.building import dictionary

    args = argparse.Namespace(encoder_layers=2, decoder_layers=2, encoder_embed_dim=32, encoder_ffn_embed_dim=48)
    ARCH_CONFIG_REGISTRY["transformer"](args)
    task = argparse.Namespace(source_dictionary=dictionary(60), target_dictionary=dictionary(60))
    stock = ARCH_MODEL_REGISTRY["transformer"].build_model(args, task)
    flags = "--norm-per sublayer --attn-bias --ffn-bias --encoder-layers 2 --decoder-layers 2".split()
    ours = build("vanilla_transformer_tiny", *flags)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in stock.parameters())


VARIANTS = {
    **{model: (model, ()) for model in MODELS},
    **ABLATIONS,
    **{f"one wide ffn, {name}": ("one_wide_ffn", flags) for name, flags in WIDE_FFN.items()},
    "tied": ("ringformer", ("--share-all-embeddings", "--output-bias", "--layernorm-embedding")),
    "learned": ("ringformer", ("--encoder-learned-pos", "--encoder-normalize-before")),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_parts_add_up_to_the_checkpoint(variant):
    arch, flags = VARIANTS[variant]
    model = build(f"{arch}_tiny", *flags)
    parts = count_parts(model)
    assert totals(parts)[1].unique == sum(tensor.numel() for tensor in model.state_dict().values())
    assert len({count.part for count in parts}) == len(parts)


@pytest.mark.parametrize(
    "name, changes", [*((name, {}) for name in TINY), *((TINY[0], own) for own in RINGS.values() if own)]
)
def test_parts_of_a_classifier_add_up_to_the_checkpoint(name, changes):
    model = small(name, **changes)
    parts = classifiers.count_parts(model)
    assert totals(parts)[1].unique == sum(tensor.numel() for tensor in model.state_dict().values())
    assert len({count.part for count in parts}) == len(parts)


def test_a_vanilla_classifier_has_the_parameters_of_timms_own():
    """Sinusoids are not learned; else they are the same model."""
    import timm

    with torch.device("meta"):
        ours = timm.create_model("vit_vanilla_768_l12_patch16_224", pos_embed="learned")
        stock = timm.create_model("vit_base_patch16_224")
    assert totals(classifiers.count_parts(ours))[1].unique == sum(p.numel() for p in stock.parameters())


# Squared width, feed-forward, norm and low-rank factors of width 512, hidden width 2048 and rank 32.
SQUARE, FFN, NORM, RANK = 512**2, 2 * 512 * 2048, 2 * 512, 32
LAYERS = (4 + 2 * 4) * SQUARE + 2 * FFN + (2 + 3) * NORM  # one of the encoder and one of the decoder
RESIDUAL, WIDE_RESIDUAL = RANK * (512 + 512) + 512, RANK * (512 + 2048) + 512
RING_SIGNALS = 4 * RANK * (512 + 512)  # of a level
OTHER_PAPERS = [
    3 * LAYERS,  # sequence
    3 * LAYERS,  # cycle
    3 * LAYERS,  # cycle_rev
    3 * LAYERS,  # middle_cycle
    3 * (12 * SQUARE + 5 * NORM) + 2 * (2 + 3) * FFN,  # Subformer
    2 * (12 * SQUARE + 2 * FFN) + 6 * (5 * NORM + (4 + 8) * RESIDUAL + 4 * WIDE_RESIDUAL),  # ResidualTransformer
    (3 * 4 + 2 * 4) * SQUARE + 2 * FFN + 2 * 512 * 128 + (12 * 2 + 2 * 3) * NORM + 14 * RING_SIGNALS,  # EdgeFormer
]


def test_the_rows_of_other_papers_in_closed_form():
    """The commands of docs/papers.md, and the figures that the page states."""
    page = ROOT / "docs" / "papers.md"
    blocks = [block for block in split(page)[1] if block.language == "bash"]
    commands = [line for block in blocks for line in block.text.replace("\\\n", " ").splitlines()]
    counts = []
    for command in commands:
        program, word, option, arch, *flags = shlex.split(command)
        assert (program, word, option) == ("ringformer", "params", "--arch")
        counts.append(totals(count_parts(build_on_meta(arch, flags)))[0].unique)
    assert counts == OTHER_PAPERS
    text = page.read_text(encoding="utf-8")
    assert all(f"{count:,}" in text for count in (*counts, counts[-1] - 14 * RING_SIGNALS))


def test_unrolled_counts_a_shared_part_once_for_every_level():
    ring = {count.part: count for count in count_parts(build_on_meta("ringformer_base"))}
    attn = ring["encoder self_attn"]
    assert (attn.copies, attn.unique, attn.per_level, attn.unrolled) == (1, 4 * 512**2, 4 * 512**2, 6 * 4 * 512**2)
    norms = ring["decoder norms"]
    assert (norms.copies, norms.unique, norms.per_level, norms.unrolled) == (18, 18 * 1024, 3 * 1024, 18 * 1024)
    signals = ring["encoder signals"]
    assert (signals.copies, signals.per_level) == (6, 4 * 2 * 32 * 512)


def test_what_levels_use_is_by_their_own_stacks_map():
    lent = "--share-encoder-decoder-ffn --ffn-sharing own --decoder-layers 2 --encoder-layers 3".split()
    parts = {count.part: count for count in count_parts(build_on_meta("vanilla_transformer_base", lent))}
    assert [parts[f"{side} ffn"].unrolled for side in ("encoder", "decoder")] == [3 * FFN, 2 * FFN]
    wide = "--ffn-sharing 0,1,1,1,1,2 --ffn-widths 2048,4096,2048".split()
    ffn = {count.part: count for count in count_parts(build_on_meta("ringformer_base", wide))}["encoder ffn"]
    assert ffn.per_level is None and ffn.unique == 4 * 2 * 512 * 2048


def test_nothing_is_allocated():
    assert {p.device for p in build_on_meta("ringformer_large").parameters()} == {torch.device("meta")}


def test_every_row_of_the_paper_is_an_architecture_of_ours():
    for table in paper_tables().values():
        for row in table.rows:
            if table.vision:
                classifiers.build_on_meta(row.arch)
            else:
                build_on_meta(row.arch, as_flags(row.flags), 10, 10)


def test_unknown_architectures_and_tiny_vocabularies_are_refused():
    with pytest.raises(ValueError, match="unknown architecture 'transformer': choose one of one_wide_ffn"):
        build_on_meta("transformer")
    with pytest.raises(ValueError, match="a vocabulary of 3 entries is too small"):
        build_on_meta("ringformer_tiny", (), 3, 3)
