"""Levels before the last that learn to be the last, in the training of a classifier."""

import copy
import dataclasses
import os

import pytest
import torch
import torch.nn.functional as F

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.vision.training.exits import Exits
from fairseq_ringformer.vision.training.options import as_plain, changed
from fairseq_ringformer.vision.training.preparation import Loss
from fairseq_ringformer.vision.training.runtime import seed_all
from fairseq_ringformer.vision.training.trainer import Trainer
from tests.vision.images import write_splits
from tests.vision.training.test_trainer import STEADY
from tests.vision.training.tiny import SIZES, batches, last, options, rows, same_weights, train

DEEP = dict(model_arg={**SIZES, "depth": 3})
TIMM, SMALL = dict(model="vit_tiny_patch16_224", in_chans=1), dict(patch_size=4, embed_dim=16, depth=3, num_heads=2)
POOLED = dict(SMALL, global_pool="avg", class_token=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return write_splits(folder, train=9, validation=4, size=8, mode="L", classes=("a", "b", "c"))


def test_loop_against_its_definition(data, tmp_path):
    """The same weights from a loop of a few lines; what is validated is the last level."""
    training = Trainer(options(data, tmp_path, max_update=2, sched="constant", exit_weight=0.3, **DEEP, **STEADY))
    model = copy.deepcopy(training.model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True)
    training.train()
    for pixels, targets in batches(training, 2):
        states = model.stack(model.embed(pixels), return_states=True).states[1:]
        first, second, third = (F.cross_entropy(model.head(model.stack.final_norm(x)[:, 0]), targets) for x in states)
        optimizer.zero_grad()
        (third + 0.3 * (first + second) / 2).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert same_weights(model.state_dict(), training.model.state_dict(), atol=1e-6)
    samples = [training.valid[index][:2] for index in range(12)]
    with torch.no_grad():
        logits = model.eval()(torch.stack([image for image, _ in samples]))
    expected = F.cross_entropy(logits, torch.tensor([target for _, target in samples]))
    assert float(rows(tmp_path)[0]["valid_loss"]) == pytest.approx(float(expected), abs=1e-4)


class Doubling:
    """In place of a teacher."""

    def add(self, loss, logits, images):
        return 2 * loss


@pytest.mark.parametrize(
    ("model", "change", "teacher"),
    [
        (DEEP, dict(label_smoothing=0.1, mixup=0.5), None),
        (DEEP, dict(loss="bce"), None),
        (DEEP, {}, Doubling()),
        ({**TIMM, "model_arg": SMALL}, {}, None),
        ({**TIMM, "model_arg": POOLED}, {}, None),
    ],
)
def test_the_loss_is_that_of_models_which_end_there(data, tmp_path, model, change, teacher):
    """Of ours and of timm's; smoothed, mixed, binary; a teacher teaches the last level alone."""
    settings = options(data, tmp_path, max_update=1, exit_weight=0.25, exit_levels="1", **model, **change)
    training = Trainer(settings)
    images, targets = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 1])
    plain, early = dataclasses.replace(settings, exit_weight=None), copy.deepcopy(training.model)
    early.prune_intermediate_layers([0], prune_head=False)

    def loss(settings, model, teacher=None):
        seed_all(1)
        return Loss(settings, 3, teacher)(model, images.clone(), targets)

    found, logits = loss(settings, training.trained, teacher)
    whole, expected = loss(plain, training.model, teacher)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(found, whole + 0.25 * loss(plain, early)[0])


def test_recomputed_and_accumulated(data, tmp_path):
    settings = dict(max_update=2, exit_weight=0.3, **DEEP, **STEADY)
    train(data, tmp_path / "plain", **settings)
    train(data, tmp_path / "small", **settings, checkpoint_activations=True, batch_size=2, grad_accum=4)
    assert same_weights(last(tmp_path / "plain")["state_dict"], last(tmp_path / "small")["state_dict"], atol=1e-5)


def test_what_is_newer_than_a_training_was_off_in_it(data, tmp_path):
    before = as_plain(options(data, tmp_path))
    del before["exit_weight"], before["exit_levels"]
    assert changed(before, options(data, tmp_path)) == []
    assert changed(before, options(data, tmp_path, exit_weight=0.3)) == ["--exit-weight: None before, 0.3 now"]


@pytest.mark.slow
def test_compiled(data, tmp_path, monkeypatch):
    """What is compiled is what is trained; of the compiler, the part that reads Python."""
    compiled = []

    def read(module):
        compiled.append(module)
        module._compiled_call_impl = torch.compile(module._call_impl, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", read)
    for name, change in (("plain", {}), ("compiled", dict(compile=True))):
        train(data, tmp_path / name, max_update=2, exit_weight=0.3, **DEEP, **STEADY, **change)
    assert [type(module) for module in compiled] == [Exits]
    assert same_weights(last(tmp_path / "plain")["state_dict"], last(tmp_path / "compiled")["state_dict"], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (dict(exit_levels="1"), "--exit-levels goes with --exit-weight, which is not given"),
        (dict(exit_weight=0.0), "--exit-weight 0: must be above 0"),
        (dict(exit_weight=1.0, exit_levels="1,3"), "--exit-levels 1,3: vit_ring_.* has levels 1 to 2 before its last"),
        (dict(exit_weight=1.0, exit_levels="0"), "--exit-levels 0: vit_ring_tiny_patch4_28 has levels 1 to 2"),
        (dict(exit_weight=1.0, exit_levels="1;2"), "--exit-levels 1;2: give numbers with commas between them: 2,4"),
        (
            dict(exit_weight=1.0, model_arg={**SIZES, "depth": 1}),
            "the head of vit_ring_.* cannot read levels before its last one",
        ),
        (
            dict(exit_weight=1.0, model="resnet10t", img_size=None, model_arg={}),
            "the head of resnet10t cannot read levels",
        ),
    ],
)
def test_what_cannot_end_earlier_is_refused_in_words(data, tmp_path, change, text):
    with pytest.raises(UserError, match=text) as error:
        train(data, tmp_path, max_update=1, **{**DEEP, **change})
    assert "\n" not in str(error.value) and not os.listdir(tmp_path)
