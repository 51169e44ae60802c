"""A learning rate of their own for level signals, ``--signal-lr-scale``.

fairseq gives all parameters to an optimizer as one group, and its schedulers set one learning rate for all groups, so a
factor has to come in between. :meth:`FairseqTask.optimizer_step` is where: for the length of a step signals are a group of
the optimizer, with the rate that the scheduler has set times the factor. Groups before and after it, schedulers,
checkpoints and logs are fairseq's; so a training resumes with or without the factor.
"""

from functools import partial
from typing import Any

from fairseq.optim import FairseqBMUF, FairseqOptimizer, FP16Optimizer
from fairseq.tasks import FairseqTask
from torch import nn

from ..errors import UserError
from ..modules import LevelSignals

FLAG = "--signal-lr-scale"
Group = dict[str, Any]


def scale_signal_rate(task: FairseqTask, model: nn.Module, factor: float) -> None:
    """From now on, steps of `task` take the signals of the model that it trains at the learning rate times `factor`.

    Raises:
        UserError: if `model` has no signals that learn.
    """
    if not _signals(model):
        raise UserError(f"{FLAG} {factor}: the model has no signals that learn")
    step = getattr(type(task), "optimizer_step", None)  # the class's, so that doing this twice is doing it once
    if step is not None:  # else `task` is what a model is only looked at with
        task.optimizer_step = partial(_step, partial(step, task), factor)


def _step(step: Any, factor: float, optimizer: FairseqOptimizer, model: nn.Module, update_num: int) -> None:
    signals = {id(parameter) for parameter in _stepped(optimizer, _signals(model))}
    inner = optimizer.optimizer
    whole: list[Group] = getattr(inner, "param_groups", [])
    if not whole or isinstance(optimizer, FairseqBMUF) or hasattr(inner, "consolidate_state_dict"):
        raise UserError(f"{FLAG} does not go together with composite optimizers, BMUF and sharded states")
    others: list[Group] = []
    own: list[Group] = []
    for group in whole:
        others.append({**group, "params": [each for each in group["params"] if id(each) not in signals]})
        own.append({**group, "params": [each for each in group["params"] if id(each) in signals]})
        own[-1]["lr"] *= factor
    if sum(len(group["params"]) for group in own) < len(signals):
        raise UserError(f"{FLAG}: the optimizer does not have the signals as parameters of their own")
    inner.param_groups = [group for group in (*others, *own) if group["params"]]
    try:
        step(optimizer, model=model, update_num=update_num)
    finally:
        inner.param_groups = whole
        for group, stepped in zip(whole, others):
            group.update({**stepped, "params": group["params"]})  # some optimizers count their steps in it


def _signals(model: nn.Module) -> list[nn.Parameter]:
    modules = (module for module in model.modules() if isinstance(module, LevelSignals))
    return [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]


def _stepped(optimizer: FairseqOptimizer, parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    """What the optimizer changes for `parameters`: themselves, or their copies in float32."""
    if not isinstance(optimizer, FP16Optimizer):
        return parameters
    if optimizer.has_flat_params:
        raise UserError(f"{FLAG} with --fp16 needs --fp16-no-flatten-grads")
    own = {id(parameter) for parameter in parameters}
    return [copy for half, copy in zip(optimizer.fp16_params, optimizer.fp32_params) if id(half) in own]
