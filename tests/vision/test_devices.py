"""Every classifier keeps to one device. No GPU is needed: its tensors are fake."""

import pytest
import torch

from fairseq_ringformer.export.timm_vit import stock_weights, why_not_stock
from tests.fake_cuda import devices, fake_cuda, meta
from tests.vision.models import FAMILIES, RINGS, images, small

SOME = ("state", "full rank, state", "learned positions")
VARIANTS = {
    **{family: (family, {}) for family in FAMILIES},
    **{f"ring, {name}": ("ring", RINGS[name]) for name in SOME},
    "any size": ("ring", dict(dynamic_img_size=True)),
    "dropout": ("ring", dict(pos_drop_rate=0.1, proj_drop_rate=0.1, attn_drop_rate=0.1, drop_path_rate=0.1)),
}


def model_and_images(variant, device):
    family, changes = VARIANTS[variant]
    with torch.device(device):
        model = small(f"vit_{family}_tiny_patch4_28", depth=2, **changes)
        return model, images(model)


@pytest.mark.parametrize("variant", VARIANTS)
def test_classifying_and_folding_keep_to_one_device(variant, monkeypatch):
    with fake_cuda(monkeypatch):
        model, x = model_and_images(variant, "cuda")
        assert devices([model.train()(x)]) == {"cuda"}
        with torch.no_grad():
            assert devices([model.eval()(x), *model.get_intermediate_layers(x)]) == {"cuda"}
        if why_not_stock(model) is None:
            assert devices(stock_weights(model).values()) == {"cuda"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_are_where_their_parameters_are(variant, monkeypatch):
    with meta(monkeypatch):
        model, x = model_and_images(variant, "meta")
        model.train()(x).square().sum().backward()
    assert devices(parameter.grad for parameter in model.parameters()) == {"meta"}
