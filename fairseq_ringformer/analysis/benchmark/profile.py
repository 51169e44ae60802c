"""Where the time goes: torch's profiler, added up by part of the model."""

import contextlib
import functools
import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from ...modules import Stack, attention, feed_forward, stack, weights

Host = tuple[object, str, str]  # an object, the name of a method or function of it, and the part this belongs to
REST = "rest: masks, residuals, shapes"
MARK = "part: "
# Modules by class or qualified name, the first that fits; a part inside a part counts for itself alone.
BY_CLASS = (("Dropout", "dropout"), ("LayerNorm", "norms"))
BY_NAME = (
    (re.compile(r"output_projection|^head$"), "output layer"),
    (re.compile(r"embed_(tokens|positions)|patch_embed$|fixed_positions"), "embeddings"),
    (re.compile(r"(^|\.)signals(\.|$)"), "level signals"),
    (re.compile(r"self_attn|blocks\.\d+\.attn"), "self-attention"),
    (re.compile(r"cross_attn|encoder_attn"), "cross-attention"),
    (re.compile(r"(^|\.)(fc1|fc2|ffn|mlp)(\.|$)"), "feed-forward"),
)
# Ranges that fairseq's Trainer and torch's Adam record.
RANGES = {
    "optimizer": "optimiser",
    "Optimizer.step#Adam.step": "optimiser",
    "Optimizer.zero_grad#Adam.zero_grad": "optimiser",
    "clip-grads": "clipping, scaling gradients",
    "multiply-grads": "clipping, scaling gradients",
}
# Operations that code outside any of these modules calls for a part.
OPERATIONS = {"aten::gelu": "feed-forward", "aten::relu": "feed-forward"}
# A ring's parts are functions over prepared weights, and not modules that are called.
FUNCTIONS = (
    (feed_forward.FeedForwardWeights, "__call__", "feed-forward"),
    (weights.Norm, "__call__", "norms"),
    (weights, "stack_weights", "level signals"),
    (stack, "add_dropped", "dropout"),
    (feed_forward, "dropout", "dropout"),
    (attention, "apply_dropout", "dropout"),
)
RING_METHODS = (
    (Stack, "_self_attention", "self-attention"),
    (Stack, "_cross_attention", "cross-attention"),
    (Stack, "_memory", "cross-attention"),
)
BACKWARD = "autograd::engine::evaluate_function"


@dataclass(frozen=True)
class Profile:
    """Milliseconds of one run.

    Attributes:
        parts: forward and backward time by part, longest first; the forward time of a part includes Python's.
        operations: time inside each operation, without those it calls, and how often it ran; longest first.
    """

    parts: dict[str, tuple[float, float]]
    operations: dict[str, tuple[float, int]]

    @property
    def total(self) -> float:
        return sum(map(sum, self.parts.values()))


def profile_run(run: Callable[[], Any], hosts: Sequence[Host], model: nn.Module, device: str) -> Profile:
    """Profile one call of `run`, which has run before.

    Args:
        hosts: further methods to watch.
        model: whose modules are told apart.
        device: "cpu", or "cuda" to add up time on the GPU.
    """
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device == "cuda")
    watched = [*_methods(model), *hosts, *FUNCTIONS, *RING_METHODS]
    with _watched(watched), profile(activities=activities, acc_events=True) as profiler:
        with record_function(MARK + REST):
            run()
    return summarise(of_cpu(profiler.events()), "self_device_time_total" if device == "cuda" else "self_cpu_time_total")


def of_cpu(events: Sequence[Any]) -> list[Any]:
    """Operations and ranges alone: the time of a GPU's kernels is theirs already, and kernels stand in the list once more."""
    return [event for event in events if event.device_type == DeviceType.CPU]


def part_of(name: str, module: nn.Module) -> str | None:
    """The part that the module of this qualified name belongs to."""
    for fragment, part in BY_CLASS:
        if fragment in type(module).__name__:
            return part
    return next((part for pattern, part in BY_NAME if pattern.search(name)), None)


def _methods(model: nn.Module) -> list[Host]:
    """The methods of all modules that belong to a part: `forward`, and what fairseq and this package add to it."""
    found = []
    for name, module in model.named_modules():
        part = part_of(name, module)
        if part is None or isinstance(module, (nn.ModuleList, nn.ModuleDict)):
            continue
        methods = {"forward"}
        for kind in type(module).__mro__:
            if kind.__module__.startswith("fairseq"):
                methods |= {key for key, value in vars(kind).items() if inspect.isfunction(value) and key[0] != "_"}
        found += [(module, method, part) for method in methods if not method.startswith("reorder")]
    return found


@contextlib.contextmanager
def _watched(methods: Sequence[Host]) -> Iterator[None]:
    """Record a range around every call of these methods."""
    with contextlib.ExitStack() as restored:
        for host, method, part in methods:
            if method in vars(host):
                restored.callback(setattr, host, method, vars(host)[method])
            else:
                restored.callback(delattr, host, method)
            setattr(host, method, _recorded(getattr(host, method), part))
        yield


def _recorded(function: Callable, part: str) -> Callable:
    @functools.wraps(function)
    def recorded(*args, **kwargs):
        with record_function(MARK + part):
            return function(*args, **kwargs)

    return recorded


def summarise(events, attribute: str = "self_cpu_time_total") -> Profile:
    """Add up the profiler's events by part and by operation.

    A backward operation belongs to the part whose forward operation made its node: both carry one sequence number.
    """
    made: dict[int, str] = {}
    for event in events:
        # The innermost operation with a number is the one that made the node; events come in order of their start.
        if event.sequence_nr >= 0 and not _is_backward(event):
            made[event.sequence_nr] = _forward_part(event)
    parts: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    operations: dict[str, list] = defaultdict(lambda: [0.0, 0])
    for event in events:
        spent = getattr(event, attribute) / 1000
        node = _backward_node(event)
        if node is None:
            parts[_forward_part(event)][0] += spent
        else:
            parts[made.get(node.sequence_nr, "adding up gradients")][1] += spent
        if not event.name.startswith((MARK, BACKWARD)):
            operations[event.name][0] += spent
            operations[event.name][1] += 1
    return Profile(
        {name: (spent[0], spent[1]) for name, spent in sorted(parts.items(), key=lambda item: -sum(item[1]))},
        {name: (spent, count) for name, (spent, count) in sorted(operations.items(), key=lambda item: -item[1][0])},
    )


def _is_backward(event) -> bool:
    return _backward_node(event) is not None


def _backward_node(event):
    while event is not None:
        if event.name.startswith(BACKWARD):
            return event
        event = event.cpu_parent
    return None


def _forward_part(event) -> str:
    by_operation = None
    while event is not None:
        name = event.name
        if name in RANGES:
            return RANGES[name]
        if name.startswith(MARK) and name != MARK + REST:
            return name.removeprefix(MARK)
        by_operation = by_operation or OPERATIONS.get(name)
        event = event.cpu_parent
    return by_operation or REST
