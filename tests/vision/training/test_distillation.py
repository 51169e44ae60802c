"""Soft targets of a teacher in the training of a classifier."""

import copy
import os

import pytest
import timm
import torch

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.vision.checkpoint import input_config, load_classifier
from fairseq_ringformer.vision.training.distillation import Teacher
from fairseq_ringformer.vision.training.runtime import make_accelerator
from fairseq_ringformer.vision.training.trainer import Trainer
from tests.vision.images import write_splits
from tests.vision.training.test_processes import FLAGS, LAUNCHED
from tests.vision.training.test_trainer import LIVELY, STEADY, assert_same_state, train_interrupted
from tests.vision.training.tiny import PLAIN, batches, last, launch, options, rows, same_weights, train

CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("images"), train=9, validation=4, size=8, mode="L", classes=CLASSES)


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory):
    """The checkpoint of a vanilla classifier, with averaged weights and a normalisation of its own."""
    folder = tmp_path_factory.mktemp("teacher")
    train(data, folder, model="vit_vanilla_tiny_patch4_28", epochs=2, ema=0.5, mean=(0.3,), std=(0.4,), **PLAIN)
    return folder / "best.pt"


def a_teacher(data, path, input, **changes):
    settings = options(data, path.parent / "student", teacher=str(path), **changes)
    return Teacher(settings, CLASSES, 3, input, make_accelerator(settings))


def test_loop_against_its_definition(data, teacher, tmp_path):
    """The same weights from a loop of a few lines, with cross-entropy against the soft targets."""
    settings = dict(teacher=str(teacher), distill_alpha=0.7, distill_temperature=3.0, label_smoothing=0.1)
    training = Trainer(options(data, tmp_path, max_update=2, sched="constant", **settings, **STEADY))
    model = copy.deepcopy(training.model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True)
    training.train()
    known, state = load_classifier(str(teacher))
    assert same_weights(known.state_dict(), state["state_dict_ema"])
    for pixels, targets in batches(training, 2):
        seen = (pixels * training.input.std[0] + training.input.mean[0] - 0.3) / 0.4
        soft = (known(seen) / 3).softmax(1).detach()
        logits = model(pixels)
        divergence = (soft * (soft.log() - (logits / 3).log_softmax(1))).sum(1).mean()
        loss = 0.7 * 9 * divergence + 0.3 * torch.nn.functional.cross_entropy(logits, targets, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert same_weights(model.state_dict(), training.model.state_dict(), atol=1e-6)


@pytest.mark.slow
def test_resume_is_exact(data, teacher, tmp_path):
    """With mixup, smoothing, accumulation and EMA; wherever the teacher then lies."""
    train(data, tmp_path / "whole", teacher=str(teacher), **LIVELY)
    train_interrupted(data, tmp_path / "parts", 5, teacher=str(teacher), **LIVELY)
    os.symlink(teacher, tmp_path / "moved.pt")
    train(data, tmp_path / "parts", teacher=str(tmp_path / "moved.pt"), **LIVELY)
    whole, parts = last(tmp_path / "whole"), last(tmp_path / "parts")
    whole["options"].pop("teacher"), parts["options"].pop("teacher")
    assert_same_state(whole, parts)
    with pytest.raises(UserError, match="vit_vanilla_tiny_patch4_28, weights .* before, .* now"):
        train(data, tmp_path / "parts", **{**LIVELY, "epochs": 4})
    with pytest.raises(UserError, match="lies in --output, where the training writes its own"):
        train(data, teacher.parent, teacher=str(teacher), restart=True, **LIVELY)


@pytest.mark.slow
def test_two_processes_are_one(data, teacher, tmp_path):
    """Also where levels before the last learn."""
    train(data, tmp_path / "one", teacher=str(teacher), exit_weight=0.3, epochs=2, **STEADY)
    flags = [*FLAGS, "--batch-size", 4, "--data", data, "--output", tmp_path / "two"]
    done = launch(2, LAUNCHED, *flags, "--teacher", teacher, "--exit-weight", 0.3)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"teacher {teacher}: vit_vanilla_tiny_patch4_28, ") == 1
    assert same_weights(last(tmp_path / "one")["state_dict"], last(tmp_path / "two")["state_dict"], atol=1e-5)


def test_bfloat16(data, teacher, tmp_path):
    settings = dict(epochs=1, teacher=str(teacher), **STEADY)
    losses = []
    for kind in ("no", "bf16"):
        train(data, tmp_path / kind, mixed_precision=kind, **settings)
        losses.append(float(rows(tmp_path / kind)[0]["train_loss"]))
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.02)


def test_a_folder_of_timms_teaches_what_the_checkpoint_does(data, teacher, tmp_path):
    model, state = load_classifier(str(teacher))
    input = input_config(state)
    timm.models.save_for_hf(
        model,
        tmp_path / "folder",
        model_config=dict(label_names=state["classes"], model_args=state["model_args"]),
        data_config=dict(mean=input.mean, std=input.std, crop_pct=input.crop_pct),
    )
    images = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        expected = model(images)
    for path in (teacher, tmp_path / "folder"):
        torch.testing.assert_close(a_teacher(data, path, input).logits(images), expected)


def test_a_larger_teacher_in_colour_sees_the_same_images(data, tmp_path):
    colour = write_splits(tmp_path / "colour", train=3, validation=1, size=16, classes=CLASSES)
    train(colour, tmp_path / "run", img_size=16, in_chans=3, max_update=1, **PLAIN)
    path = tmp_path / "run" / "best.pt"
    student = Trainer(options(data, tmp_path / "student", teacher=str(path), max_update=1, **PLAIN))
    assert "sees the same images, 16 x 16 in colour; alpha 0.5, temperature 2" in student.notes[-1]
    model, state = load_classifier(str(path))
    own = input_config(state)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (own.mean, own.std))
    grey = torch.full((1, 1, 8, 8), 0.25)  # of one brightness, so that resizing gives the same
    brightness = 0.25 * student.input.std[0] + student.input.mean[0]
    with torch.no_grad():
        expected = model((torch.full((1, 3, 16, 16), brightness) - mean) / std)
    torch.testing.assert_close(student.loss.teacher.logits(grey), expected)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (dict(distill_alpha=0.5), "--distill-alpha goes with --teacher, which is not given"),
        (dict(distill_temperature=2.0), "--distill-temperature goes with --teacher"),
        (dict(teacher="TEACHER", distill_alpha=1.5), "--distill-alpha 1.5: must be at most 1"),
        (dict(teacher="TEACHER", loss="bce"), "--teacher excludes --loss bce"),
        (dict(teacher="TEACHER", num_classes=4), "tells 3 classes apart, and the model 4"),
        (dict(teacher="TEACHER", in_chans=3), "reads grey images, and the model images in colour"),
        (dict(teacher="runs/none/best.pt"), "runs/none/best.pt: no such checkpoint"),
        (dict(teacher="vit_rings"), "no model vit_rings in timm"),
        (dict(teacher="vit_ring_tiny_patch4_28"), "timm has no trained weights of this model: name a checkpoint"),
    ],
)
def test_what_cannot_teach_is_refused_in_words(data, teacher, tmp_path, change, text):
    if change.get("teacher") == "TEACHER":
        change = {**change, "teacher": str(teacher)}
    with pytest.raises(UserError, match=text) as error:
        train(data, tmp_path, max_update=1, **change)
    assert "\n" not in str(error.value) and not os.listdir(tmp_path)


def test_other_classes_are_refused(teacher, tmp_path):
    other = write_splits(tmp_path / "data", train=3, validation=1, size=8, mode="L", classes=("a", "b", "d"))
    with pytest.raises(UserError, match="other classes .only of the teacher: c; only of the data: d"):
        train(other, tmp_path / "run", teacher=str(teacher), max_update=1)
