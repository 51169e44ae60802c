"""The models' flags under fairseq's commands: each variant trains, and translates as its plain forward pass says."""

import pytest
import torch

JOINED = ("--share-all-embeddings",)
LEARNED = ("--encoder-learned-pos", "--decoder-learned-pos")
PRE_NORM = ("--encoder-normalize-before", "--decoder-normalize-before")
# Name: architecture, flags.
VARIANTS = {
    "one table for all": ("ringformer_tiny", JOINED),
    "one table, output bias": ("vanilla_transformer_tiny", (*JOINED, "--output-bias")),
    "tied output": ("universal_transformer_tiny", ("--share-decoder-input-output-embed",)),
    "learned positions": ("ringformer_tiny", LEARNED),
    "pre-norm": ("ringformer_tiny", PRE_NORM),
    "pre-norm universal": ("universal_transformer_tiny", PRE_NORM),
    "pre-norm one wide": ("one_wide_ffn_tiny", PRE_NORM),
    "all biases": ("ringformer_tiny", ("--attn-bias", "--ffn-bias", "--output-bias")),
    "embedding norm, unscaled": ("vanilla_transformer_tiny", ("--layernorm-embedding", "--no-scale-embedding")),
    "unequal sides": (
        "ringformer_tiny",
        (
            "--decoder-embed-dim",
            "24",
            "--decoder-ffn-embed-dim",
            "40",
            "--decoder-layers",
            "3",
            "--decoder-attention-heads",
            "3",
        ),
    ),
    "no attention signal": ("ringformer_tiny", ("--attention-signal", "none")),
    "no feed-forward signal": ("ringformer_tiny", ("--ffn-signal", "none")),
    "signal before attention": ("ringformer_tiny", ("--attention-signal", "before")),
    "signal inside the feed-forward": ("ringformer_tiny", ("--ffn-signal", "inter", "--signal-rank", "4")),
    "full rank": ("ringformer_tiny", ("--signal", "full-rank")),
    "low rank and diagonal, wide end": (
        "ringformer_tiny",
        ("--signal", "low-rank+diagonal", "--sharing", "own", "--ffn-widths", "16,40"),
    ),
    "static ring": ("ringformer_tiny", ("--signal", "static")),
    "ring without signals": ("ringformer_tiny", ("--signal", "none")),
    "one feed-forward for both sides": ("one_wide_ffn_tiny", ("--ffn-sharing", "one", "--share-encoder-decoder-ffn")),
    "cycle": ("vanilla_transformer_tiny", ("--encoder-layers", "4", "--encoder-self-attn-sharing", "cycle:2")),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_trains_and_translates(name, fairseq, toy, load, forced):
    arch, flags = VARIANTS[name]
    data = toy.joined if "--share-all-embeddings" in flags else toy.data
    run = fairseq.train(data, *flags, "--max-update", "6", "--disable-validation", arch=arch)
    assert len(run.losses()) == 6

    hypotheses = fairseq.generate(data, run.last, "--beam", "3", "--max-len-b", "12", "--batch-size", "16")
    model, task = load(run.last, data)
    for number in (0, 1, 2, 3):
        (best,) = hypotheses[number]
        scores = forced([model], task, toy.lines("test", "de")[number], best.text)
        torch.testing.assert_close(torch.tensor(best.token_scores), scores, rtol=0, atol=2e-4)
