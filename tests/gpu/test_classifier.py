"""Classifiers on a GPU compute what they compute on the CPU, in every type."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_ringformer.export.timm_vit import fold_classifier, why_not_stock
from tests.gpu.device import DEVICE, KINDS, PLAIN_KINDS, assert_gradients_near, assert_near, on_gpu
from tests.vision.models import FAMILIES, RINGS, images, small

pytestmark = on_gpu
VARIANTS = {
    **{family: (family, {}) for family in FAMILIES if family != "ring"},
    **{f"ring, {name}": ("ring", changes) for name, changes in RINGS.items()},
    "any size": ("ring", dict(dynamic_img_size=True)),
}


@pytest.fixture(autouse=True)
def exact_convolutions(monkeypatch):
    """cuDNN's are in TensorFloat-32 by default, products are not."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(params=VARIANTS)
def reference(request):
    """On the CPU, in float32."""
    family, changes = VARIANTS[request.param]
    return small(f"vit_{family}_tiny_patch4_28", **changes)


@pytest.fixture(params=PLAIN_KINDS)
def kind(request):
    return KINDS[request.param]


@torch.no_grad()
def test_the_forward_pass_prepared_or_not_and_folded(reference, kind):
    model, x = kind.copy(reference), images(reference)
    expected, on_device = reference(x), x.to(DEVICE, kind.dtype)
    with kind.context():
        assert_near(model(on_device), expected, kind.tolerance)
        if why_not_stock(model) is None:
            assert_near(fold_classifier(model)(on_device), expected, 2 * kind.tolerance)
        model.reparameterize()
        assert_near(model(on_device), expected, kind.tolerance)


def test_the_loss_and_its_gradients(reference, kind):
    model, x, labels = kind.copy(reference), images(reference), torch.tensor([1, 3])

    def step(trained, inputs):
        logits = trained.train()(inputs).float()
        logits = logits.mean(dim=1) if logits.dim() == 3 else logits
        loss = F.cross_entropy(logits, labels.to(inputs.device))
        (128 * loss).backward()
        return loss

    expected = step(reference, x)
    with kind.context():
        loss = step(model, x.to(DEVICE, kind.dtype))
    assert_near(loss, expected.detach(), kind.tolerance)
    assert_gradients_near(model, reference, 5 * kind.tolerance)
