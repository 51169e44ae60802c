"""Weights prepared for inference: made once where somebody says that they are final, and never used after a change."""

import contextlib
from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle

from ..errors import UserError

Made = TypeVar("Made")


class Prepared(Generic[Made]):
    """What is computed from the parameters of some modules, by type of the states, as long as none is touched.

    Changes in place, other parameters or modules in their places, and hooks are seen when it is asked for. Who reaches for
    the `data` of a parameter ends it, and an optimizer that steps with one: these are ways to change it that torch does not
    count (fused steps).

    Args:
        modules: whose parameters are final.
        make: computes from them, for states of a type.
        parts: what their owner computes with now: others in the places of `modules`, which these cannot see themselves, count
            as a change.

    Raises:
        UserError: for parameters made under torch.inference_mode, whose changes cannot be seen.
    """

    def __init__(
        self,
        modules: list[nn.Module],
        make: Callable[[torch.dtype], Made],
        parts: Callable[[], tuple[Any, ...]] = tuple,
    ):
        self._make = make
        self._parts, self._prepared_from = parts, parts()
        self._made: dict[torch.dtype, Made] = {}
        self._ended = False
        holders = list(dict.fromkeys(holder for module in modules for holder in module.modules()))
        self._inner = [holder for holder in holders if holder not in modules]
        self._children = [
            (holder._modules, name, child) for holder in holders for name, child in holder.named_children()
        ]
        self._parameters = [
            (holder._parameters, name, parameter)
            for holder in holders
            for name, parameter in holder._parameters.items()
            if parameter is not None
        ]
        if any(parameter.is_inference() for _, _, parameter in self._parameters):
            raise UserError("a model made under torch.inference_mode cannot be prepared: use torch.no_grad instead")
        for _, _, parameter in self._parameters:
            watch(parameter, self)
        self._versions = [parameter._version for _, _, parameter in self._parameters]

    def get(self, dtype: torch.dtype) -> Made | None:
        """For states of `dtype`; None once something has changed."""
        if self._ended:
            return None
        if self._has_changed():
            self.end()
            return None
        if dtype not in self._made:
            device = self._parameters[0][2].device.type
            # Folding multiplies: not in the type that autocast would choose.
            has_autocast = torch.amp.is_autocast_available(device)
            with torch.no_grad(), torch.autocast(device, enabled=False) if has_autocast else contextlib.nullcontext():
                self._made[dtype] = self._make(dtype)
        return self._made[dtype]

    def _has_changed(self) -> bool:
        for (holder, name, parameter), version in zip(self._parameters, self._versions):
            if holder.get(name) is not parameter or parameter._version != version:
                return True
        if any(now is not then for now, then in zip(self._parts(), self._prepared_from)):
            return True
        return any(holder.get(name) is not child for holder, name, child in self._children) or any(
            module._forward_hooks or module._forward_pre_hooks for module in self._inner
        )

    def end(self) -> None:
        """The parameters are no longer final."""
        if self._ended:
            return
        self._ended = True
        self._made.clear()
        for _, _, parameter in self._parameters:
            unwatch(parameter, self)

    # A copy of a model, and a pickled one, begin unprepared.
    def __deepcopy__(self, memo: Any) -> None:
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()


def refuse_touched(name: str) -> NoReturn:
    """UserError: a module, called `name`, that does more than its class says is not prepared."""
    raise UserError(f"{name} has hooks, adapters or is pruned: merge or remove them first (peft: merge_and_unload())")


def refuse_quantised(head: nn.Module, instead: str) -> None:
    """UserError if torch's dynamic quantisation has replaced `head`, and so left the stack as it is."""
    if type(head).__module__.startswith("torch.ao.nn.quantized"):
        raise UserError(
            f"torch's dynamic quantisation leaves the projections of a ring as they are: fold it into {instead}, and "
            "quantise that"
        )


class Watched(nn.Parameter):
    """A parameter that something is prepared from: reaching for its `data` ends that."""

    watchers: list[Prepared]

    @property
    def data(self) -> Tensor:
        for watcher in tuple(self.watchers):
            watcher.end()
        return self.data  # an nn.Parameter again

    @data.setter
    def data(self, value: Tensor) -> None:
        for watcher in tuple(self.watchers):
            watcher.end()
        self.data = value

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Parameter:
        if id(self) not in memo:
            memo[id(self)] = nn.Parameter(self.detach().clone(), self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: int) -> Any:
        return nn.Parameter(self.detach(), self.requires_grad).__reduce_ex__(protocol)


# The hook on all optimizers, once something was prepared.
_stepping: list[RemovableHandle] = []


def _end_stepped(optimizer: Optimizer, *_: Any) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for watcher in tuple(getattr(parameter, "watchers", ())):
                watcher.end()


def watch(parameter: nn.Parameter, watcher: Prepared) -> None:
    """Tell `watcher` when somebody reaches for the `data` of `parameter`."""
    if not _stepping:
        _stepping.append(register_optimizer_step_post_hook(_end_stepped))
    if not isinstance(parameter, Watched):
        parameter.__class__ = Watched
        parameter.watchers = []
    parameter.watchers.append(watcher)


def unwatch(parameter: nn.Parameter, watcher: Prepared) -> None:
    """Undo :func:`watch`."""
    parameter.watchers.remove(watcher)
    if not parameter.watchers:
        del parameter.watchers
        parameter.__class__ = nn.Parameter
