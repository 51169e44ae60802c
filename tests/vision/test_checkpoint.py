import os

import pytest
import timm
import torch

from fairseq_ringformer.files import write_checkpoint
from fairseq_ringformer.vision.checkpoint import build_model, input_config, load_classifier
from tests.vision.images import damage

STOCK = dict(img_size=8, patch_size=4, embed_dim=16, depth=2, num_heads=2, in_chans=1)


def stock(path, **changes):
    """Write a checkpoint of timm's own Vision Transformer, as folding does; its model and path."""
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3, **STOCK)
    size = dict(size=(1, 8, 8), mean=(0.5,), std=(0.25,), interpolation="bicubic", crop_pct=1.0)
    state = dict(
        arch="vit_tiny_patch16_224",
        model_args=STOCK,
        num_classes=3,
        classes=["a", "b", "c"],
        input=size,
        state_dict=model.state_dict(),
    )
    write_checkpoint({**state, **changes}, str(path))
    return model, str(path)


def test_a_folded_model_of_timm_loads(tmp_path):
    model, path = stock(tmp_path / "folded.pt")
    loaded, state = load_classifier(path)
    images = torch.rand(2, 1, 8, 8)
    assert not loaded.training and torch.equal(loaded(images), model.eval()(images))
    assert input_config(state).size == (1, 8, 8) and state["classes"] == ["a", "b", "c"]


def test_averaged_weights_come_first(tmp_path):
    model, path = stock(tmp_path / "plain.pt")
    average = {key: value + 1 for key, value in model.state_dict().items()}
    _, averaged = stock(tmp_path / "averaged.pt", state_dict_ema=average)
    heads = [load_classifier(averaged, ema)[0].head.bias for ema in (None, True, False)]
    assert heads[0].equal(average["head.bias"]) and heads[1].equal(heads[0]) and heads[2].equal(model.head.bias)
    with pytest.raises(ValueError, match="plain.pt holds no averaged weights: the training had no --ema"):
        load_classifier(path, True)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (dict(arch="nosuch"), "no model nosuch in timm"),
        (dict(num_classes=4), "its weights are not those of vit_tiny_patch16_224: head.weight is"),
        (dict(state_dict={}), "cls_token is missing"),
        (dict(model_args=dict(colour=1)), "model vit_tiny_patch16_224: .*unexpected keyword argument 'colour'"),
    ],
)
def test_checkpoints_that_do_not_fit(tmp_path, changes, text):
    _, path = stock(tmp_path / "bad.pt", **changes)
    with pytest.raises(ValueError, match=text) as error:
        load_classifier(path)
    assert "\n" not in str(error.value)


def test_an_unknown_model_is_first_looked_for_among_ours():
    with pytest.raises(
        ValueError, match=r"no model vit_ring_tiny_patch4_32 in timm; did you mean vit_ring_tiny_patch4_28"
    ):
        build_model("vit_ring_tiny_patch4_32", {})
    with pytest.raises(ValueError, match=r"did you mean resnet"):
        build_model("resnett18", {})


def test_files_that_are_no_checkpoints(tmp_path):
    with pytest.raises(ValueError, match="no.pt: no such checkpoint"):
        load_classifier(str(tmp_path / "no.pt"))
    torch.save({"model": {}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="no classifier's checkpoint .it lacks arch, model_args, "):
        load_classifier(str(tmp_path / "other.pt"))
    _, path = stock(tmp_path / "cut.pt")
    damage(tmp_path / "cut.pt")
    with pytest.raises(ValueError, match="cut.pt: .*damaged"):
        load_classifier(path)


def test_a_weight_of_two_names_is_saved_once(tmp_path):
    weight = torch.rand(100_000)
    write_checkpoint({"a": weight, "b": weight}, str(tmp_path / "shared.pt"))
    assert (tmp_path / "shared.pt").stat().st_size < 500_000 and os.listdir(tmp_path) == ["shared.pt"]
