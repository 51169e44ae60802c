import copy
import json
import math
import os
import random

import numpy
import pytest
import torch
import yaml
from torch.utils._pytree import tree_leaves

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.vision.data import InputConfig
from fairseq_ringformer.vision.training.preparation import compile_by_trial
from fairseq_ringformer.vision.training.runtime import make_accelerator
from fairseq_ringformer.vision.training.trainer import Trainer
from tests.vision.images import damage, write_splits
from tests.vision.training.tiny import PLAIN, batches, last, options, rows, same_weights, train

# Adam would blow up rounding errors: the keys' biases have no gradient but those.
STEADY = dict(PLAIN, opt="sgd", lr=0.1)
# A small model of timm that asserts that nobody wants its activations recomputed.
CONVIT = dict(model="convit_tiny", in_chans=1, model_arg=dict(depth=1, patch_size=4))
# Every source of random choices at once.
LIVELY = dict(
    dropout=0.1,
    drop_path=0.1,
    ema=0.9,
    grad_accum=2,
    batch_size=4,
    mixup=0.2,
    cutmix=0.5,
    label_smoothing=0.1,
    crop="rrc",
    auto_augment="trivial",
    warmup_updates=2,
    save_interval=2,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three classes; 27 images to train on, of which batches of 8 leave 3, and 12 to evaluate on."""
    folder = tmp_path_factory.mktemp("images")
    return write_splits(folder, train=9, validation=4, size=8, mode="L", classes=("a", "b", "c"))


@pytest.fixture(scope="module")
def lively(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lively")
    train(data, folder, **LIVELY)
    return folder


@pytest.fixture(scope="module")
def steady(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("steady")
    train(data, folder, **STEADY)
    return folder


class Stop(Exception):
    pass


def stop_before(monkeypatch, update, error=Stop):
    """Make the training end before its n-th update."""
    step = Trainer._step

    def stopping(self, *arguments):
        if self.progress.update == update:
            raise error
        return step(self, *arguments)

    monkeypatch.setattr(Trainer, "_step", stopping)


def train_interrupted(data, output, update, **settings):
    with pytest.MonkeyPatch.context() as patch:
        stop_before(patch, update)
        with pytest.raises(Stop):
            train(data, output, **settings)


def assert_same_state(left, right):
    """Two last.pt agree to the last bit, except in what was measured in seconds."""
    for state in (left, right):
        for name in ("seconds", "speeds"):
            state["training"]["progress"].pop(name)
        state["options"].pop("output")
    assert same_weights(left["state_dict"], right["state_dict"])
    assert same_weights(left["state_dict_ema"], right["state_dict_ema"])
    flat = [tree_leaves(state["training"]["optimizer"]) for state in (left, right)]
    assert len(flat[0]) == len(flat[1]) and all(
        one.equal(other) if isinstance(one, torch.Tensor) else one == other for one, other in zip(*flat)
    )
    assert left["training"]["progress"] == right["training"]["progress"] and left["options"] == right["options"]


@pytest.mark.parametrize(("update", "saved", "workers"), [(3, 3, 0), (5, 4, 1)])
def test_resume_is_exact(data, lively, tmp_path, update, saved, workers):
    """Interrupted at the end of an epoch of 3 updates, and in the middle of the next."""
    train_interrupted(data, tmp_path / "parts", update, workers=workers, **LIVELY)
    # What happens in between does not matter, nor what the generators have drawn.
    for generator in (random.random, numpy.random.rand, lambda: torch.rand(1)):
        generator()
    assert last(tmp_path / "parts")["update"] == saved
    train(data, tmp_path / "parts", workers=0, **LIVELY)
    whole, parts = last(lively), last(tmp_path / "parts")
    whole["options"].pop("workers"), parts["options"].pop("workers")
    assert_same_state(whole, parts)
    tables = [rows(folder) for folder in (lively, tmp_path / "parts")]
    for row in tables[0] + tables[1]:
        del row["images_per_second"], row["seconds"]
    assert tables[0] == tables[1]


def test_longer_training_of_a_finished_one(data, tmp_path):
    """With a constant learning rate, training twice as long is training, then training on; also inside an epoch."""
    settings = {**LIVELY, "sched": "constant", "warmup_updates": 0}
    train(data, tmp_path / "whole", max_update=7, **settings)
    train(data, tmp_path / "parts", max_update=4, **settings)
    train(data, tmp_path / "parts", max_update=7, **settings)
    whole, parts = last(tmp_path / "whole"), last(tmp_path / "parts")
    assert same_weights(whole["state_dict"], parts["state_dict"])
    assert [row["epoch"] for row in rows(tmp_path / "parts")] == ["1", "2", "2", "3"]


def test_finished_training_is_left_alone(data, tmp_path):
    first = train(data, tmp_path, epochs=1)
    written = (tmp_path / "last.pt").stat().st_mtime_ns
    assert train(data, tmp_path, epochs=1) == first
    assert (tmp_path / "last.pt").stat().st_mtime_ns == written


def test_restart_begins_anew(data, tmp_path):
    train(data, tmp_path, epochs=2)
    train(data, tmp_path, epochs=1, seed=2, restart=True)
    assert last(tmp_path)["update"] == 3 and len(rows(tmp_path)) == 1
    assert yaml.safe_load((tmp_path / "options.yaml").read_text())["seed"] == 2


def test_accumulated_batches_are_one_large_batch(data, steady, tmp_path):
    """And the last incomplete accumulation of an epoch is dropped: 27 images are 3 updates of 8."""
    train(data, tmp_path, batch_size=2, grad_accum=4, **STEADY)
    large, small = last(steady), last(tmp_path)
    assert large["update"] == small["update"] == 9
    assert same_weights(large["state_dict"], small["state_dict"], atol=1e-5)
    for left, right in zip(rows(steady), rows(tmp_path)):
        assert float(left["train_loss"]) == pytest.approx(float(right["train_loss"]), abs=1e-5)
        assert left["valid_top1"] == right["valid_top1"]


def test_loop_against_plain_torch(data, tmp_path):
    """The same weights from a loop without accelerate, timm's optimiser and scheduler."""
    training = Trainer(options(data, tmp_path, max_update=5, clip_grad=0.1, warmup_updates=1, **PLAIN))
    torch.manual_seed(0)
    model = copy.deepcopy(training.model)
    optimizer = torch.optim.Adam(model.parameters(), 1.0)
    training.train()
    for update, (pixels, targets) in enumerate(batches(training, 5)):
        lr = 0.005 if update == 0 else 0.01 * (1 + math.cos(math.pi * update / 5)) / 2
        optimizer.param_groups[0]["lr"] = lr
        loss = torch.nn.functional.cross_entropy(model(pixels), targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    assert same_weights(model.state_dict(), training.model.state_dict(), atol=1e-6)


def test_ema_against_its_definition(data, tmp_path):
    train(data, tmp_path / "one", max_update=1, sched="constant", ema=0.75, **PLAIN)
    train(data, tmp_path / "two", max_update=2, sched="constant", ema=0.75, **PLAIN)
    one, two = last(tmp_path / "one"), last(tmp_path / "two")
    # The average begins with the weights after the first update.
    assert same_weights(one["state_dict_ema"], one["state_dict"])
    mean = {key: 0.75 * one["state_dict"][key] + 0.25 * value for key, value in two["state_dict"].items()}
    assert same_weights(mean, two["state_dict_ema"], atol=1e-6)


def test_files_of_a_run(data, tmp_path):
    result = train(data, tmp_path, ema=0.5)
    assert {"best.pt", "last.pt", "log.csv", "curves.png", "options.yaml", "result.json", "tensorboard"} == set(
        os.listdir(tmp_path)
    )
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    table = rows(tmp_path)
    assert [(row["epoch"], row["update"]) for row in table] == [("1", "3"), ("2", "6"), ("3", "9")]
    assert result["top1"] == pytest.approx(max(float(row["ema_top1"]) for row in table), abs=1e-3)
    assert "top5" not in result and result["updates"] == 9 and result["effective_batch"] == 8
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert "training" not in best and best["classes"] == ["a", "b", "c"] and best["metric"] == result["top1"]
    assert best["epoch"] == result["best_epoch"] and best["input"]["size"] == (1, 8, 8)


def test_ending_where_a_checkpoint_lies_within_an_epoch(data, tmp_path):
    """What is told of the training's end was measured there."""
    train_interrupted(data, tmp_path, 5, max_update=9, save_interval=2)
    result = train(data, tmp_path, max_update=4, save_interval=2)
    assert result["updates"] == 4 == last(tmp_path)["training"]["progress"]["latest"]["update"]


def test_tensorboard_and_table_have_no_row_twice(data, tmp_path):
    train_interrupted(data, tmp_path, 5, epochs=3)
    train(data, tmp_path, epochs=3)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("valid/top1")] == [3, 6, 9]
    assert [row["update"] for row in rows(tmp_path)] == ["3", "6", "9"]


def test_loss_that_is_no_number(data, tmp_path):
    train(data, tmp_path, epochs=1)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        step = Trainer._step

        def poison(self, *arguments):
            if self.progress.update == 4:
                with torch.no_grad():
                    next(self.model.parameters()).fill_(math.nan)
            return step(self, *arguments)

        patch.setattr(Trainer, "_step", poison)
        with pytest.raises(UserError, match="the loss is nan at update 5: lower --lr") as error:
            train(data, tmp_path, epochs=3)
    assert "\n" not in str(error.value) and (tmp_path / "last.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (dict(lr=0.02), "--lr: 0.01 before, 0.02 now"),
        (dict(batch_size=4), "images per update: 8 before, 4 now"),
        (dict(model="vit_universal_tiny_patch4_28"), "is of vit_ring_tiny_patch4_28, not of vit_universal"),
        (dict(model_arg=dict(embed_dim=24, ffn_dim=32, depth=2, num_heads=2)), "in another size"),
    ],
)
def test_going_on_otherwise_is_refused(data, tmp_path, change, text):
    train(data, tmp_path, epochs=1)
    before = files(tmp_path)
    with pytest.raises(UserError, match=text):
        train(data, tmp_path, **{"epochs": 2, **change})
    assert files(tmp_path) == before


def files(folder):
    return sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir())


def test_a_polynomial_schedule_is_a_line(data, tmp_path):
    training = Trainer(options(data, tmp_path, max_update=9, sched="poly", min_lr=0.001, **PLAIN))
    rates = []
    for update in range(10):
        training.schedule.step_update(update)
        rates.append(training.plain_optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01 - 0.001 * update for update in range(10)])


def test_an_epoch_whose_end_was_interrupted_is_told_once(data, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    train(data, tmp_path, epochs=1)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_save", interrupt)
        train(data, tmp_path, epochs=3)
    train(data, tmp_path, epochs=3)
    assert [row["epoch"] for row in rows(tmp_path)] == ["1", "2", "3"]


def test_what_cannot_be_gone_on_with_is_not_overwritten(data, tmp_path):
    with pytest.raises(UserError, match="--resume: there is no .*/last.pt"):
        train(data, tmp_path, resume=True)
    train(data, tmp_path, epochs=1)
    damage(tmp_path / "last.pt")
    with pytest.raises(UserError, match=r"last.pt: .*damaged.*--restart"):
        train(data, tmp_path, epochs=2)
    train(data, tmp_path, epochs=1, restart=True)
    best = (tmp_path / "best.pt").rename(tmp_path / "kept.pt")
    with pytest.raises(UserError, match=r"tells of a best.pt, but not that: .*--restart"):
        train(data, tmp_path, epochs=2)
    best.rename(tmp_path / "best.pt")
    # Without last.pt, the best weights alone are worth keeping; without options.yaml, a best.pt is another project's.
    for name in ("last.pt", "log.csv", "result.json", "options.yaml"):
        (tmp_path / name).unlink()
        before = files(tmp_path)
        with pytest.raises(UserError, match="but no last.pt to go on from: .*--restart"):
            train(data, tmp_path, epochs=1)
        assert files(tmp_path) == before
    assert train(data, tmp_path, epochs=1, restart=True)["updates"] == 3


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (dict(model="vit_rings_tiny_patch4_28"), "no model vit_rings_tiny_patch4_28 in timm; did you mean vit_ring"),
        (dict(model_arg=dict(colour=1)), "unexpected keyword argument 'colour'"),
        (dict(model_arg=dict(img_size=8)), "--model-arg img_size: there is a flag for it"),
        (dict(model_arg=dict(global_pool="")), "not one for each of 3 classes"),
        (dict(model_arg=dict(features_only=True)), "the model cannot read images of 1 x 8 x 8"),
        (dict(model_arg=dict(checkpoint_path="no.pt")), "no.pt: no such checkpoint"),
        (dict(num_classes=2), "--num-classes 2: the data has 3 classes"),
        (dict(batch_size=32), "batch is larger than the data"),
        (dict(opt="adamm"), "--opt adamm: timm has no such optimiser"),
        (dict(opt_arg=dict(rho=1)), "--opt adam: .*unexpected keyword argument 'rho'"),
        (dict(opt="adahessian"), "--opt adahessian needs second derivatives"),
        (dict(warmup_updates=9), "--warmup-updates 9 leaves nothing of 9 updates"),
        (dict(auto_augment="randd"), "auto-augment randd"),
        (dict(crop_pct=0.0), "crop-pct 0.0: choose a number above 0"),
        (dict(train_split="nosuch"), "no split nosuch"),
        (dict(init_from="nosuch.pt"), "nosuch.pt: no such checkpoint"),
        (dict(CONVIT, checkpoint_activations=True), "--checkpoint-activations: convit_tiny does not have it"),
        (dict(mixed_precision="fp16"), "--mixed-precision fp16 needs a GPU"),
        (dict(sched="linear"), "--sched linear: choose one of cosine"),
        (dict(sched="constant", min_lr=1e-3), "--min-lr 0.001 excludes --sched constant"),
        (dict(threads=10**11), "--threads 100000000000: too many for"),
    ],
)
def test_what_cannot_work_ends_before_anything_is_lost(data, tmp_path, change, text):
    (tmp_path / "best.pt").write_text("precious")
    with pytest.raises(UserError, match=text) as error:
        train(data, tmp_path, restart=True, **change)
    assert "\n" not in str(error.value) and os.listdir(tmp_path) == ["best.pt"]


def test_going_on_with_other_data(data, tmp_path):
    train(data, tmp_path / "run", epochs=1)
    other = write_splits(tmp_path / "other", train=10, validation=4, size=8, mode="L", classes=("a", "b", "c"))
    with pytest.raises(UserError, match="data: 27 training images .* before, 30 training images .* now"):
        train(other, tmp_path / "run", epochs=2)
    os.symlink(data, tmp_path / "moved")
    assert train(tmp_path / "moved", tmp_path / "run", epochs=2)["updates"] == 6


def test_the_same_effective_batch_can_be_cut_otherwise(data, steady, tmp_path):
    train_interrupted(data, tmp_path, 6, **STEADY)
    train(data, tmp_path, batch_size=2, grad_accum=4, **STEADY)
    assert same_weights(last(steady)["state_dict"], last(tmp_path)["state_dict"], atol=1e-5)


def test_damaged_images(tmp_path):
    data = write_splits(tmp_path / "data", train=8, validation=4, size=8, mode="L")
    bad = [damage(data / "train/cat/3.png"), damage(data / "validation/dog/1.png")]
    with pytest.raises(UserError, match=r"2 damaged images \(--damaged refuse\): .*/cat/3.png, .*/dog/1.png"):
        train(data, tmp_path / "run", damaged="refuse")
    assert not os.listdir(tmp_path / "run")
    result = train(data, tmp_path / "run", epochs=2)
    assert (tmp_path / "run/damaged.txt").read_text() == "".join(f"{path}\n" for path in bad)
    assert result["damaged"] == 2 and [row["damaged"] for row in rows(tmp_path / "run")] == ["1", "1"]


def test_different_classes(tmp_path):
    data = write_splits(tmp_path / "data", size=8, mode="L")
    (data / "validation/dog").rename(data / "validation/horse")
    with pytest.raises(UserError, match="only in training: dog; only in validation: horse"):
        train(data, tmp_path / "run")


def test_compiler_that_fails(data, tmp_path, monkeypatch):
    def fail(*arguments, **keywords):
        raise RuntimeError("no compiler\nand a long trace")

    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: setattr(module, "_compiled_call_impl", fail))
    with pytest.raises(UserError, match=r"--compile failed, train without it \(no compiler and a long trace\)$"):
        train(data, tmp_path, compile=True)


def test_trying_the_compiler_leaves_the_model_as_it_was(data, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: None)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 8), torch.nn.BatchNorm2d(3), torch.nn.Flatten())
    before = copy.deepcopy(model.state_dict())
    compile_by_trial(model, InputConfig((1, 8, 8), (0.5,), (0.5,)), 4, make_accelerator(options(data, tmp_path)))
    assert same_weights(before, model.state_dict())


def test_bfloat16_and_recomputed_activations(data, tmp_path):
    for name, change in (
        ("plain", {}),
        ("recomputed", dict(checkpoint_activations=True)),
        ("half", dict(mixed_precision="bf16", ema=0.5)),
    ):
        train(data, tmp_path / name, epochs=1, **PLAIN, **change)
    plain = last(tmp_path / "plain")["state_dict"]
    assert same_weights(plain, last(tmp_path / "recomputed")["state_dict"], atol=1e-6)
    half = last(tmp_path / "half")
    assert {value.dtype for value in half["state_dict"].values()} == {torch.float32}
    # The averaged weights are evaluated as themselves, not as those of the model they were copied from.
    losses = rows(tmp_path / "half")[-1]
    assert losses["ema_loss"] != losses["valid_loss"]


def test_the_learning_rate_told_is_the_head_s(data, tmp_path):
    train(data, tmp_path, max_update=1, layer_decay=0.5, sched="constant", **PLAIN)
    assert float(rows(tmp_path)[0]["lr"]) == 0.01


def test_binary_cross_entropy(data, tmp_path):
    train(data, tmp_path, max_update=1, loss="bce", lr=1e-9, **PLAIN)
    # Near zero logits each of the three classes costs about log 2.
    assert float(rows(tmp_path)[0]["train_loss"]) == pytest.approx(math.log(2), abs=0.1)


def test_a_training_stopped_before_its_first_checkpoint_begins_again(data, tmp_path):
    train_interrupted(data, tmp_path, 1, epochs=1)
    assert "last.pt" not in os.listdir(tmp_path)
    assert train(data, tmp_path, epochs=1)["updates"] == 3
