"""Beginning a training with given weights."""

import pytest
import timm
import torch

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.vision.checkpoint import load_classifier
from fairseq_ringformer.vision.training.preparation import load_initial
from fairseq_ringformer.vision.training.trainer import Trainer
from tests.vision.images import write_splits
from tests.vision.training.tiny import SIZES, last, options, same_weights, train


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return write_splits(folder, train=8, validation=4, size=8, mode="L", classes=("a", "b", "c"))


def test_fine_tuning(data, tmp_path):
    train(data, tmp_path / "first", epochs=1)
    first = last(tmp_path / "first")["state_dict"]
    training = Trainer(options(data, tmp_path / "second", init_from=str(tmp_path / "first/last.pt"), seed=2))
    assert same_weights(first, training.model.state_dict())
    more = Trainer(options(data, tmp_path / "more", init_from=str(tmp_path / "first/last.pt"), num_classes=5, seed=2))
    weights = more.model.state_dict()
    assert weights["head.weight"].shape == (5, 16)
    assert same_weights(
        {key: value for key, value in first.items() if "head" not in key},
        {key: value for key, value in weights.items() if "head" not in key},
    )
    sizes = dict(embed_dim=24, ffn_dim=32, depth=2, num_heads=2)
    with pytest.raises(UserError, match="--init-from .* does not fit the model: cls_token is"):
        Trainer(options(data, tmp_path / "other", init_from=str(tmp_path / "first/last.pt"), model_arg=sizes))
    with pytest.raises(UserError, match="--init-from .* lies in --output, where the training writes its own"):
        Trainer(options(data, tmp_path / "first", init_from=str(tmp_path / "first/last.pt"), restart=True))
    assert same_weights(first, last(tmp_path / "first")["state_dict"])


@pytest.mark.parametrize("before, now", [(1, 3), (3, 1)])
def test_from_grey_to_colour_and_back(before, now, tmp_path):
    """A grey image gives what it gave."""
    name, sizes = "vit_ring_tiny_patch4_28", dict(SIZES, img_size=8, num_classes=3)
    source, other = (timm.create_model(name, in_chans=channels, **sizes).eval() for channels in (before, now))
    state = dict(arch=name, model_args={}, num_classes=3, classes=list("abc"), state_dict=source.state_dict())
    torch.save(
        {**state, "input": dict(size=(before, 8, 8), mean=(0.5,) * before, std=(0.5,) * before)}, tmp_path / "x.pt"
    )
    load_initial(other, str(tmp_path / "x.pt"))
    grey = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(other(grey.expand(-1, now, -1, -1)), source(grey.expand(-1, before, -1, -1)))


def test_a_pyramid_of_timm(tmp_path):
    """Its positions are no sequence of patches, and are taken as they are."""
    name, sizes = "pit_ti_224", dict(img_size=32, in_chans=1, num_classes=3)
    source, other = (timm.create_model(name, **sizes) for _ in range(2))
    state = dict(arch=name, model_args={}, num_classes=3, classes=list("abc"), state_dict=source.state_dict())
    torch.save({**state, "input": dict(size=(1, 32, 32), mean=(0.5,), std=(0.5,))}, tmp_path / "x.pt")
    load_initial(other, str(tmp_path / "x.pt"))
    assert same_weights(source.state_dict(), other.state_dict())


def test_a_trained_model_needs_no_more_what_it_began_with(data, tmp_path):
    train(data, tmp_path / "first", max_update=1)
    torch.save(last(tmp_path / "first")["state_dict"], tmp_path / "weights.pt")
    arguments = dict(SIZES, checkpoint_path=str(tmp_path / "weights.pt"))
    training = Trainer(options(data, tmp_path / "second", max_update=1, model_arg=arguments, seed=2))
    assert same_weights(last(tmp_path / "first")["state_dict"], training.model.state_dict())
    training.train()
    (tmp_path / "weights.pt").unlink()
    load_classifier(str(tmp_path / "second/best.pt"))
    assert train(data, tmp_path / "second", max_update=2, model_arg=arguments, seed=2)["updates"] == 2


def test_learned_positions_of_images_that_are_not_square_keep_their_places(tmp_path):
    """An unknown grid would be taken for a square."""

    def model(*size):
        return timm.create_model("vit_ring_tiny_patch4_28", img_size=size, pos_embed="learned", **SIZES)

    wide, other = model(8, 32), model(16, 16)
    with torch.no_grad():  # a slope from left to right, the same in both rows
        wide.pos_embed[0, 1:] = torch.arange(8.0).repeat(2)[:, None]
    state = dict(
        arch="vit_ring_tiny_patch4_28",
        model_args={},
        num_classes=wide.num_classes,
        classes=["a"],
        input=dict(size=(1, 8, 32), mean=(0.5,), std=(0.5,), interpolation="bilinear", crop_pct=1.0),
    )
    torch.save({**state, "state_dict": wide.state_dict()}, tmp_path / "wide.pt")
    load_initial(other, str(tmp_path / "wide.pt"))
    grid = other.pos_embed[0, 1:, 0].view(4, 4)
    torch.testing.assert_close(grid, grid[:1].expand(4, 4), atol=1e-3, rtol=0)
    assert (grid[0].diff() > 1).all()
