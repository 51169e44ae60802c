"""Signals that learn at a rate of their own, under fairseq's optimizers and schedulers."""

import argparse
import copy

import pytest
import torch
from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.optim import FP16Optimizer
from fairseq.optim.adam import Adam, FairseqAdam
from fairseq.optim.lr_scheduler.inverse_square_root_schedule import InverseSquareRootSchedule
from fairseq.tasks.translation import TranslationTask

from fairseq_ringformer.errors import UserError
from tests.building import SMALL_SIZE, batch, build, dictionary, parse

ADAM = argparse.Namespace(
    optimizer="adam", lr=[0.01], adam_betas="(0.9, 0.98)", adam_eps=1e-8, weight_decay=0.1, fp16_adam_stats=False
)
SCHEDULE = argparse.Namespace(lr=[0.01], warmup_updates=4, warmup_init_lr=-1)


def training(*flags, arch="ringformer"):
    """A task and the model that it has built, with some signals that are not zero."""
    symbols = dictionary(60)
    task = TranslationTask(argparse.Namespace(eval_bleu=False), symbols, symbols)
    model = ARCH_MODEL_REGISTRY[arch].build_model(parse(f"{arch}_tiny", *SMALL_SIZE, *flags), task)
    model.load_state_dict(build(f"{arch}_tiny").state_dict())
    return task, model


def loss(model, seed):
    source, target = batch(model, seed=seed)
    return model(source, None, target)[0].float().square().mean()


def is_signal(name):
    return ".signals." in name


def update(task, model, optimizer, seed, schedule=None):
    optimizer.zero_grad()
    optimizer.backward(loss(model, seed))
    if schedule is not None:
        schedule.step_update(seed)
    task.optimizer_step(optimizer, model=model, update_num=seed)


@pytest.mark.parametrize("factor", [4.0, 0.25])
def test_steps_are_those_of_an_optimizer_with_two_groups(factor):
    """Bit for bit, with weight decay and a scheduler; the state is that of one group, and a second run goes on from it."""
    task, model = training("--signal-lr-scale", str(factor))
    expected = copy.deepcopy(model)
    groups = [{"params": [], "scale": 1.0}, {"params": [], "scale": factor}]
    for name, parameter in expected.named_parameters():
        groups[is_signal(name)]["params"].append(parameter)
    reference = Adam(groups, lr=0.01, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.1)
    optimizer = FairseqAdam(ADAM, list(model.parameters()))
    schedule = InverseSquareRootSchedule(SCHEDULE, optimizer)
    for number in range(1, 7):
        if number == 4:  # resumed
            state, (task, resumed) = optimizer.state_dict(), training("--signal-lr-scale", str(factor))
            assert len(state["param_groups"]) == 1
            resumed.load_state_dict(model.state_dict())
            model, optimizer = resumed, FairseqAdam(ADAM, list(resumed.parameters()))
            optimizer.load_state_dict(state)
            schedule = InverseSquareRootSchedule(SCHEDULE, optimizer)
        update(task, model, optimizer, number, schedule)
        reference.zero_grad()
        loss(expected, number).backward()
        for group in reference.param_groups:
            group["lr"] = group["scale"] * optimizer.get_lr()
        reference.step()
    for (name, found), other in zip(model.named_parameters(), expected.parameters()):
        assert torch.equal(found, other), name


def test_the_first_update_of_signals_is_the_factor_times_as_large():
    moved = {}
    for factor in (1.0, 4.0):
        task, model = training("--signal-lr-scale", str(factor))
        before = copy.deepcopy(model.state_dict())
        update(task, model, FairseqAdam(ADAM, list(model.parameters())), seed=1)
        moved[factor] = {name: value - before[name] for name, value in model.named_parameters()}
    for name, step in moved[1.0].items():
        torch.testing.assert_close(moved[4.0][name], (4.0 if is_signal(name) else 1.0) * step, atol=1e-6, rtol=1e-5)


def half_precision(model, **common):
    cfg = argparse.Namespace(
        common=argparse.Namespace(fp16_scale_window=1, **common),
        optimizer=ADAM,
        optimization=argparse.Namespace(update_freq=[1]),
    )
    return FP16Optimizer.build_optimizer(cfg, list(model.parameters()))


def test_copies_in_float32_are_scaled_too():
    moved = {}
    for factor in (1.0, 4.0):
        task, model = training("--signal-lr-scale", str(factor))
        optimizer = half_precision(model.bfloat16(), bf16=True)
        before = [copy.clone() for copy in optimizer.fp32_params]
        update(task, model, optimizer, seed=1)
        moved[factor] = [copy - old for copy, old in zip(optimizer.fp32_params, before)]
        for half, full in zip(model.parameters(), optimizer.fp32_params):
            assert torch.equal(half, full.bfloat16())
    for (name, _), step, scaled in zip(model.named_parameters(), moved[1.0], moved[4.0]):
        torch.testing.assert_close(scaled, (4.0 if is_signal(name) else 1.0) * step, atol=1e-6, rtol=1e-5)


def test_what_has_no_signals_of_its_own_is_refused():
    with pytest.raises(UserError, match="--signal-lr-scale 4.0: the model has no signals that learn"):
        training("--signal-lr-scale", "4", arch="universal_transformer")
    task, model = training("--signal-lr-scale", "4")
    with pytest.raises(UserError, match="the optimizer does not have the signals as parameters of their own"):
        update(task, model, FairseqAdam(ADAM, [torch.nn.Parameter(torch.zeros(1))]), seed=1)
    flat = FP16Optimizer.__new__(FP16Optimizer)
    flat.fp32_params = {0: torch.zeros(1)}
    with pytest.raises(UserError, match="with --fp16 needs --fp16-no-flatten-grads"):
        task.optimizer_step(flat, model=model, update_num=1)
