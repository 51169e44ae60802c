"""A ring folded into timm's own VisionTransformer, and exported from there."""

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.ao.quantization import quantize_dynamic

from fairseq_ringformer.export.onnx import export_onnx, plain_classifier
from fairseq_ringformer.export.timm_vit import STOCK, fold_classifier, stock_args, stock_weights
from tests.vision.models import RINGS, TINY, images, small


def check(model):
    stock = fold_classifier(model)
    assert type(stock) is VisionTransformer
    with torch.no_grad():
        torch.testing.assert_close(stock(images(model)), model(images(model)), rtol=0, atol=1e-5)
        torch.testing.assert_close(
            stock.forward_features(images(model)), model.forward_features(images(model)), rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("name", [name for name in TINY if "universal" not in name])
def test_the_folded_model_is_timms_and_equals_the_ring(name):
    check(small(name))


# Its layers are those that fold, which test_folding.py has in every form.
@pytest.mark.parametrize("variant", ["wide middle", "no feed-forward", "learned positions", "average pooling"])
def test_what_timm_writes_otherwise_is_equal(variant):
    check(small("vit_ring_tiny_patch4_28", **RINGS[variant]))


def test_images_of_any_size_where_positions_are_learned():
    any_size = dict(dynamic_img_size=True, dynamic_img_pad=True)
    model = small("vit_ring_tiny_patch4_28", pos_embed="learned", **any_size)
    check(model)
    for size in ((24, 48), (30, 45)):
        x = torch.randn(2, 1, *size)
        with torch.no_grad():
            torch.testing.assert_close(fold_classifier(model)(x), model(x), rtol=0, atol=1e-5)
    fixed = small("vit_ring_tiny_patch4_28", **any_size)
    check(fixed)
    with pytest.raises(AssertionError, match="doesn't match model"):  # it would resample where the ring computes
        fold_classifier(fixed)(x)
    with pytest.raises(ValueError, match="fixed positions for images that are not divisible into patches do not fold"):
        fold_classifier(small("vit_ring_tiny_patch4_28", img_size=30, **any_size))


@torch.no_grad()
def test_dynamic_quantisation_takes_the_folded_model_alone():
    model = small("vit_ring_tiny_patch4_28")
    with pytest.raises(ValueError, match="leaves the projections of a ring as they are: fold it into timm's"):
        quantize_dynamic(model, {nn.Linear})(images(model))
    quantised = quantize_dynamic(fold_classifier(model), {nn.Linear})
    assert type(quantised.blocks[0].attn.qkv) is not nn.Linear
    torch.testing.assert_close(quantised(images(model)), model(images(model)), rtol=0.1, atol=0.1)


def test_widths_that_a_ratio_does_not_give_exactly():
    for embed_dim, ffn_dim in ((728, 3072), (376, 1024), (328, 1536), (1284, 5120)):
        with torch.device("meta"):
            model = small("vit_ring_tiny_patch4_28", embed_dim=embed_dim, ffn_dim=ffn_dim, num_heads=4, depth=1)
            assert timm.create_model(STOCK, **stock_args(model)).blocks[0].mlp.fc1.out_features == ffn_dim


def test_what_does_not_fold_says_why():
    with pytest.raises(ValueError, match=r"static signals \(Universal Transformer\) do not fold"):
        stock_weights(small("vit_universal_tiny_patch4_28"))
    with pytest.raises(
        ValueError, match=r"signals that read the state before its norm \(signal_input 'state'\) do not fold"
    ):
        stock_weights(small("vit_ring_tiny_patch4_28", signal_input="state"))
    pruned = small("vit_ring_tiny_patch4_28")
    pruned.prune_intermediate_layers(1, prune_norm=True)
    with pytest.raises(ValueError, match="pruned without its final norm"):
        stock_weights(pruned)


@pytest.mark.slow
def test_onnx_gives_torchs_outputs_of_what_does_not_fold(tmp_path):
    """What folds, and the Universal Transformer, are exported in tests/cli/test_classifier_files.py."""
    model = small("vit_ring_tiny_patch4_28", signal_input="state")
    assert plain_classifier(model) is model
    info = {"input": {"size": [model.in_chans, 32, 32]}}
    assert export_onnx(model, str(tmp_path / "model.onnx"), info, model) <= 1e-4
