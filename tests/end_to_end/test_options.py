"""The models' flags under fairseq's commands: each variant trains, and translates as its plain forward pass says."""

import pytest
import torch

# Name: architecture, flags. What a checkpoint must bring to the model that fairseq-generate builds; what the models then
# compute is in tests/models.
VARIANTS = {
    "one table, output bias": ("vanilla_transformer_tiny", "--share-all-embeddings --output-bias"),
    "learned positions": ("ringformer_tiny", "--encoder-learned-pos --decoder-learned-pos"),
    "unequal sides": (
        "ringformer_tiny",
        "--decoder-embed-dim 24 --decoder-ffn-embed-dim 40 --decoder-layers 3 --decoder-attention-heads 3",
    ),
    "signals elsewhere, wide end": (
        "ringformer_tiny",
        "--signal low-rank+diagonal --signals self_attn.out_proj:before,cross_attn.q_proj:after --signal-rank 4 "
        "--sharing own --ffn-widths 16,40 --encoder-normalize-before",
    ),
    "one feed-forward for both sides": ("one_wide_ffn_tiny", "--ffn-sharing one --share-encoder-decoder-ffn"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_trains_and_translates(name, fairseq, toy, load, forced):
    arch, flags = VARIANTS[name]
    data = toy.joined if "--share-all-embeddings" in flags else toy.data
    run = fairseq.train(data, *flags.split(), "--max-update", "6", "--disable-validation", arch=arch)
    assert len(run.losses()) == 6

    hypotheses = fairseq.generate(data, run.last, "--beam", "3", "--max-len-b", "12", "--batch-size", "16")
    model, task = load(run.last, data)
    for number in (0, 1, 2, 3):
        (best,) = hypotheses[number]
        scores = forced([model], task, toy.lines("test", "de")[number], best.text)
        torch.testing.assert_close(torch.tensor(best.token_scores), scores, rtol=0, atol=2e-4)
