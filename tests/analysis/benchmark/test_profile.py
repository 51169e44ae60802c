from dataclasses import dataclass
from typing import Optional

import pytest
from torch.autograd import DeviceType

from fairseq_ringformer.analysis.benchmark.profile import MARK, REST, of_cpu, summarise


@dataclass
class Event:
    name: str
    self_cpu_time_total: float
    cpu_parent: Optional["Event"] = None
    sequence_nr: int = -1
    device_type: DeviceType = DeviceType.CPU


def test_time_is_added_up_by_innermost_part_and_backward_by_what_it_is_the_gradient_of():
    root = Event(MARK + REST, 1000)
    attention = Event(MARK + "self-attention", 500, root)
    dropout = Event(MARK + "dropout", 100, attention)
    linear = Event("aten::linear", 10, attention, 7)
    step = Event("optimizer", 40, root)
    node = Event("autograd::engine::evaluate_function: MmBackward0", 3, root, 7)
    accumulate = Event("autograd::engine::evaluate_function: torch::autograd::AccumulateGrad", 1, root)
    events = [
        root,
        attention,
        dropout,
        Event("aten::mul", 20, dropout, 8),
        linear,
        Event("aten::mm", 2000, linear, 7),
        Event("aten::gelu", 60, root),
        step,
        Event("aten::add_", 60, step),
        node,
        Event("MmBackward0", 2, node, 7),
        Event("aten::mm", 3000, node),
        accumulate,
        Event("aten::add_", 9, accumulate),
    ]
    profile = summarise(events)
    microseconds = {part: tuple(round(1000 * spent) for spent in both) for part, both in profile.parts.items()}
    assert microseconds == {
        "self-attention": (2510, 3005),
        REST: (1000, 0),
        "dropout": (120, 0),
        "optimiser": (100, 0),
        "feed-forward": (60, 0),
        "adding up gradients": (0, 10),
    }
    assert list(profile.parts)[:2] == ["self-attention", REST]
    assert profile.operations["aten::mm"] == (5.0, 2) and list(profile.operations)[0] == "aten::mm"
    assert profile.total == pytest.approx(sum(event.self_cpu_time_total for event in events) / 1000)


def test_a_gpus_kernels_count_once():
    """torch lists them beside the operations that own their time."""
    root = Event(MARK + REST, 5)
    events = [root, Event("aten::mm", 100, root), Event("gemm_kernel", 100, device_type=DeviceType.CUDA)]
    assert summarise(of_cpu(events)).total == pytest.approx(0.105)
