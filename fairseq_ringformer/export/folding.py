"""A stack of shared levels and signals as the plain layers that it is equal to.

Level signals are linear, so they fold into the weights beside which they stand (RingFormer, arXiv 2502.13181, eq. 6 and
7): ``W x + M x = (W + M) x`` and ``W (x + M x) = (W (I + M)) x``. What is left of a level is an ordinary layer.
"""

import functools

import torch
from torch import Tensor

from ..modules import Projection, Stack, stack_weights
from ..modules.weights import Norm

# Weights of one layer, under the names of fairseq's TransformerEncoderLayer and TransformerDecoderLayer; biases that a
# part does not have are left out.
PlainLayer = dict[str, Tensor]

NORMS = {"self_attn": "self_attn_layer_norm", "cross_attn": "encoder_attn_layer_norm", "ffn": "final_layer_norm"}


def why_not_plain(stack: Stack) -> str | None:
    """What keeps `stack` from being plain layers; None if nothing does."""
    if stack.static_signal is not None:
        return (
            "static signals (Universal Transformer) do not fold: they are added to the state before every level, and a "
            "plain layer has no place for that"
        )
    if stack.config.signal_input == "state" and stack.signals:
        return (
            "signals that read the state before its norm (signal_input 'state') do not fold: a plain layer's projection "
            "reads the normalised state alone"
        )
    return None


@torch.no_grad()
def plain_layers(stack: Stack) -> list[PlainLayer]:
    """The weights of every level of `stack` as a plain layer, signals folded in.

    A weight that levels share and no signal changes is the same tensor in each of them, so that a writer can store it
    once. A stack without feed-forward gets one of a single hidden channel, all zero; see :func:`_without_feed_forward`.

    Raises:
        ValueError: if the stack has a static signal, or signals that read another state than their projections do,
            which no weight can hold.
    """
    problem = why_not_plain(stack)
    if problem:
        raise ValueError(problem)
    weights = stack_weights(stack)
    unpack = functools.cache(_unpack)
    nothing = _without_feed_forward(stack) if stack.ffn is None else {}
    layers = []
    for level, own in enumerate(weights.levels):
        layer = {
            **unpack("self_attn", ("q", "k", "v"), own.self_attn.qkv),
            **unpack("self_attn", ("out",), own.self_attn.out),
        }
        if own.cross_attn is not None:
            layer.update(unpack("encoder_attn", ("q",), own.cross_attn.q))
            layer.update(unpack("encoder_attn", ("k", "v"), weights.memories[stack.cross_attn.sharing[level]]))
            layer.update(unpack("encoder_attn", ("out",), own.cross_attn.out))
        if own.ffn is not None:
            layer.update({**unpack("fc1", (), own.ffn.fc1), **unpack("fc2", (), own.ffn.fc2)})
        for part, norm in own.norms.items():
            layer.update(unpack(NORMS[part], (), norm))
        if nothing and not stack.config.pre_norm:
            last = NORMS["self_attn" if own.cross_attn is None else "cross_attn"]
            for name in ("weight", "bias"):
                layer[f"final_layer_norm.{name}"] = layer.pop(f"{last}.{name}")
                layer[f"{last}.{name}"] = nothing[f"final_layer_norm.{name}"]
        layers.append({**nothing, **layer})
    return layers


def _unpack(prefix: str, parts: tuple[str, ...], module: Projection | Norm) -> PlainLayer:
    """The weight and bias of `module` under their names; a packed projection's by `parts`."""
    layer = {}
    for name, tensor in (("weight", module.weight), ("bias", module.bias)):
        if tensor is not None:
            names = [f"{prefix}.{part}_proj" for part in parts] or [prefix]
            layer.update(zip((f"{own}.{name}" for own in names), tensor.detach().chunk(len(names))))
    return layer


def _without_feed_forward(stack: Stack) -> PlainLayer:
    """A feed-forward that adds nothing, and a norm of scale one and shift zero.

    Pre-norm, that is all. Post-norm, a plain layer still normalises after it, where the stack does not: there the norm
    before it becomes the one of scale one, and its scale and shift move to the norm after it. Normalising twice differs
    from once only by the norm's epsilon.
    """
    width = stack.config.embed_dim
    like = next(stack.parameters())
    return {
        "fc1.weight": like.new_zeros(1, width),
        "fc2.weight": like.new_zeros(width, 1),
        "final_layer_norm.weight": like.new_ones(width),
        "final_layer_norm.bias": like.new_zeros(width),
    }
