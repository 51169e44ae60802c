"""Where the time goes: torch's profiler, added up by part of the model.

The models of this package name their parts themselves (:func:`~fairseq_ringformer.modules.kernels.span`); those of
fairseq and timm are told apart by the names of their modules.
"""

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from ...modules import Stack
from ...modules.kernels import span

REST = "rest: masks, residuals, shapes"
SPAN = "ring::"  # what a span's name begins with
BACKWARD = "autograd::engine::evaluate_function"
# Parts by what the profiler records: spans; ranges of fairseq's search and Trainer, and of torch's Adam; operations, wherever they
# stand. The innermost of those that an operation stands in counts.
PARTS = {
    f"{SPAN}self_attn": "self-attention",
    f"{SPAN}cross_attn": "cross-attention",
    f"{SPAN}keys_values": "cross-attention",
    f"{SPAN}ffn": "feed-forward",
    f"{SPAN}signals": "level signals",
    f"{SPAN}embedding": "embeddings",
    f"{SPAN}output": "output layer",
    f"{SPAN}search": "search, cache",
    f"{SPAN}clip": "clipping, scaling gradients",
    "EnsembleModel: forward_encoder": "encoder, in between",
    "EnsembleModel: forward_decoder": "decoder, in between",
    "clip-grads": "clipping, scaling gradients",
    "multiply-grads": "clipping, scaling gradients",
    "optimizer": "optimiser",
    "Optimizer.step#Adam.step": "optimiser",
    "Optimizer.zero_grad#Adam.zero_grad": "optimiser",
    "aten::layer_norm": "norms",
    "aten::native_layer_norm": "norms",
    "aten::dropout": "dropout",
    "aten::gelu": "feed-forward",
    "aten::relu": "feed-forward",
    "aten::log_softmax": "softmax, loss",
    "aten::nll_loss_nd": "softmax, loss",
    "aten::cross_entropy_loss": "softmax, loss",
}
# Modules of fairseq's and timm's models, by qualified name, and the spans that they would open.
STOCK = {
    "output": re.compile(r"output_projection$|^head$"),
    "embedding": re.compile(r"embed_(tokens|positions)$|patch_embed$"),
    "self_attn": re.compile(r"\.self_attn$|blocks\.\d+\.attn$"),
    "cross_attn": re.compile(r"\.encoder_attn$"),
    "ffn": re.compile(r"\.(fc1|fc2|mlp)$"),
}


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


def profile_run(run: Callable[[], Any], model: nn.Module, device: str) -> Profile:
    """Profile one call of `run`, which has run before and calls `model`.

    Args:
        device: "cpu", or "cuda" to add up time on the GPU.
    """
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device == "cuda")
    with _stock_spans(model), profile(activities=activities, acc_events=True) as profiler:
        with record_function(REST):
            run()
    return summarise(profiler.events(), "self_device_time_total" if device == "cuda" else "self_cpu_time_total")


@contextlib.contextmanager
def _stock_spans(model: nn.Module) -> Iterator[None]:
    """Have the modules of a model that opens no spans open them."""
    with contextlib.ExitStack() as hooks:
        if not any(isinstance(module, Stack) for module in model.modules()):
            for name, module in model.named_modules():
                label = next((label for label, pattern in STOCK.items() if pattern.search(name)), None)
                if label is not None:
                    _open_span(module, label, hooks)
        yield


def _open_span(module: nn.Module, label: str, hooks: contextlib.ExitStack) -> None:
    opened: list[Any] = []

    def before(*_: Any) -> None:
        opened.append(span(label))
        opened[-1].__enter__()

    def after(*_: Any) -> None:
        opened.pop().__exit__(None, None, None)

    hooks.enter_context(module.register_forward_pre_hook(before))
    hooks.enter_context(module.register_forward_hook(after, always_call=True))


def summarise(events: Sequence[Any], attribute: str = "self_cpu_time_total") -> Profile:
    """Add up the profiler's events by part and by operation.

    A backward operation belongs to the part whose forward operation made its node: both carry one sequence number.
    """
    # The time of a GPU's kernels is that of the operations which start them, and they stand in the list once more.
    events = [event for event in events if event.device_type == DeviceType.CPU]
    made: dict[int, str] = {}
    for event in events:
        # The innermost operation with a number is the one that made the node; events come in order of their start.
        if event.sequence_nr >= 0 and _backward_node(event) is None:
            made[event.sequence_nr] = _part(event)
    parts: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    operations: dict[str, list] = defaultdict(lambda: [0.0, 0])
    for event in events:
        spent = getattr(event, attribute) / 1000
        node = _backward_node(event)
        if node is None:
            parts[_part(event)][0] += spent
        else:
            parts[made.get(node.sequence_nr, "adding up gradients")][1] += spent
        if event.name != REST and not event.name.startswith((SPAN, BACKWARD)):
            operations[event.name][0] += spent
            operations[event.name][1] += 1
    return Profile(
        {
            name: (forward, backward)
            for name, (forward, backward) in sorted(parts.items(), key=lambda item: -sum(item[1]))
        },
        {name: (spent, count) for name, (spent, count) in sorted(operations.items(), key=lambda item: -item[1][0])},
    )


def _ancestors(event: Any) -> Iterator[Any]:
    """`event` and all that it runs in, the innermost first."""
    while event is not None:
        yield event
        event = event.cpu_parent


def _backward_node(event: Any) -> Any:
    return next((outer for outer in _ancestors(event) if outer.name.startswith(BACKWARD)), None)


def _part(event: Any) -> str:
    for outer in _ancestors(event):
        if outer.name in PARTS:
            return PARTS[outer.name]
        if outer.name.startswith(SPAN):
            return outer.name.removeprefix(SPAN)
    return REST
