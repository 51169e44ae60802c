"""Time by part: spans of this package's models, names of other models' modules."""

from dataclasses import dataclass
from typing import Optional

import pytest
import timm
import torch
from torch import nn
from torch.autograd import DeviceType

from fairseq_ringformer.analysis.benchmark.profile import REST, profile_run, summarise
from fairseq_ringformer.modules.kernels import span
from tests.building import batch, build
from tests.vision.models import small


@dataclass
class Event:
    name: str
    self_cpu_time_total: float
    cpu_parent: Optional["Event"] = None
    sequence_nr: int = -1
    device_type: DeviceType = DeviceType.CPU


def test_time_is_added_up_by_innermost_part_and_backward_by_what_it_is_the_gradient_of():
    root = Event(REST, 1000)
    attention = Event("ring::self_attn", 500, root)
    dropout = Event("aten::dropout", 100, attention)
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
        # A GPU's kernels stand beside the operations that own their time.
        Event("gemm_kernel", 100, device_type=DeviceType.CUDA),
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
    assert profile.total == pytest.approx(sum(event.self_cpu_time_total for event in events[:-1]) / 1000)


class Named(nn.Module):
    """A model that opens spans, one of a name that tables do not translate."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x):
        with span("ffn"):
            x = self.first(x)
            with span("signals"):
                x = self.second(x)
        with span("folklore"):
            return x.sin().sum()


def trained(model, x):
    def step():
        model.train()(x).sum().backward()

    step()
    return profile_run(step, model, "cpu")


def test_spans_are_parts():
    profile = trained(Named(), torch.randn(32, 64))
    assert {part for part, spent in profile.parts.items() if all(spent)} >= {
        "feed-forward",
        "level signals",
        "folklore",
    }
    assert not any("ring::" in name for name in (*profile.parts, *profile.operations)) and REST in profile.parts


BOTH = {"self-attention", "feed-forward", "norms", "embeddings", "output layer"}


@pytest.mark.parametrize("name", ["vit_ring_tiny_patch4_28", "vit_tiny_patch16_224"])
def test_every_part_of_both_image_models_is_told_apart(name):
    ring = name.startswith("vit_ring")
    stock = {"img_size": 32, "depth": 2, "num_classes": 5, "proj_drop_rate": 0.1}
    model = small(name) if ring else timm.create_model(name, **stock)
    # As many images as folding pays for.
    parts = trained(model, torch.randn(16, 1 if ring else 3, 32, 32)).parts
    further = "level signals" if ring else "dropout"
    assert {part for part, spent in parts.items() if all(spent)} >= {*BOTH, further}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("arch", ["ringformer_tiny", "transformer"])
def test_every_part_of_both_translation_models_is_told_apart(arch):
    from fairseq_ringformer.analysis.benchmark.translation.candidates import choose

    model = choose("ringformer_tiny", "transformer", (), (), 60, 1)[arch == "ringformer_tiny"].build()
    source, target = batch(build("ringformer"), sentences=64)  # as many tokens as folding pays for
    lengths = torch.full((len(source),), source.size(1))

    def step():
        model.train()
        logits, extra = model(source, lengths, target)
        model.get_normalized_probs((logits, extra), log_probs=True).sum().backward()

    step()
    parts = profile_run(step, model, "cpu").parts
    both = {*BOTH, "cross-attention", "softmax, loss"}
    assert {part for part, spent in parts.items() if all(spent)} >= both
    assert ("level signals" in parts) == (arch == "ringformer_tiny")
