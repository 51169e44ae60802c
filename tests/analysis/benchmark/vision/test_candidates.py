import pickle

import pytest
import torch

from fairseq_ringformer.analysis.benchmark.vision.candidates import Task, choose
from fairseq_ringformer.vision.registry import MODELS

TINY, LARGE = "vit_ring_tiny_patch4_28", "vit_ring_768_l12_patch16_224"


def test_the_baseline_is_timms_own_with_our_dimensions_and_dropout():
    stock, ours = (candidate.build_on_meta() for candidate in choose(LARGE, "", seed=1)[:2])
    assert type(stock).__module__ == "timm.models.vision_transformer"
    assert stock.embed_dim == ours.embed_dim == 768 and len(stock.blocks) == ours.stack.levels == 12
    assert stock.blocks[0].attn.num_heads == ours.stack.config.num_heads == 12
    assert stock.blocks[0].mlp.fc1.out_features == ours.stack.config.ffn_dim == 3072
    assert stock.num_classes == ours.num_classes == 1000
    dropouts = [
        *(module.p for block in stock.blocks for module in (block.attn.proj_drop, block.mlp.drop1, block.mlp.drop2)),
        stock.pos_drop.p,
        ours.pos_drop.p,
        ours.stack.config.dropout,
        ours.stack.config.activation_dropout,
    ]
    assert set(dropouts) == {0.1}


def test_the_folded_candidate_is_timms_code_with_our_outputs():
    candidates = choose(TINY, "", seed=3, mixed_precision="bf16")
    names = [candidate.name for candidate in candidates]
    assert names == ["timm's VisionTransformer", TINY, f"{TINY} bf16", f"{TINY} folded"]
    assert pickle.loads(pickle.dumps(candidates)) == candidates
    ours, folded = candidates[1].build().eval(), candidates[-1].build()
    assert type(folded) is type(candidates[0].build_on_meta())
    images = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(folded(images), ours(images), atol=1e-5, rtol=1e-4)


def test_what_does_not_fold_has_no_folded_candidate():
    assert [candidate.folded for candidate in choose("vit_universal_tiny_patch4_28", "", seed=1)] == [False, False]


def test_another_baseline_gets_the_images_classes_and_the_dropout_it_knows():
    resnet = choose("vit_ring_512_l6_patch16_224", "resnet18", seed=1)[0]
    assert resnet.options == {"num_classes": 100, "in_chans": 3}
    vit = choose(TINY, "vit_tiny_patch16_224", seed=1)[0]
    size = {"num_classes": 10, "in_chans": 1, "img_size": (28, 28)}
    assert vit.options == {**size, "pos_drop_rate": 0.1, "proj_drop_rate": 0.1}
    assert [candidate.name for candidate in choose(TINY, TINY, 1)[:2]] == [f"{TINY} (baseline)", TINY]


@pytest.mark.parametrize(
    "ours, baseline, message",
    (
        ("vit_round", "", "unknown model 'vit_round': choose one of vit_vanilla_512_l6_patch16_224, "),
        (TINY, "vit_round", "--against vit_round: timm has no such model"),
        (TINY, "inception_v3", "--against inception_v3 does not take these images: "),
    ),
)
def test_what_cannot_be_compared_is_refused(ours, baseline, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        choose(ours, baseline, seed=1)


def test_multiply_adds_of_an_image_are_those_of_the_formula():
    task = Task.of(choose(TINY, "", seed=1)[1])
    patches, width, hidden, levels = 49, MODELS[TINY].embed_dim, MODELS[TINY].ffn_dim, MODELS[TINY].depth
    tokens = patches + 1
    level = tokens * (4 * width**2 + 2 * width * hidden) + 2 * tokens**2 * width
    assert task == Task((1, 28, 28), 10, levels * level + patches * 16 * width + width * 10)


def test_embeddings_and_head_are_told_apart_in_both():
    def outer(candidate):
        model = candidate.build_on_meta()
        matching = candidate.outer(model)
        return {name.split(".")[0] for name, _ in model.named_parameters() if matching.search(name)}

    for candidate in choose(TINY, "", seed=1)[:2]:
        assert outer(candidate) - {"pos_embed"} == {"patch_embed", "cls_token", "head"}
    assert outer(choose(TINY, "resnet18", seed=1)[0]) == {"conv1", "fc"}
