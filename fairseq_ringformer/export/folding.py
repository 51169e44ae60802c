"""A stack of shared levels and signals as the plain layers that it is equal to.

Level signals are linear, so they fold into the weights beside which they stand (RingFormer, arXiv 2502.13181, eq. 6 and
7): ``W x + M x = (W + M) x`` and ``W (x + M x) = (W (I + M)) x``. What is left of a level is an ordinary layer.
"""

import functools
from typing import Dict, List

import torch
from torch import Tensor, nn

from ..modules import Stack

# Weights of one layer, under the names of fairseq's TransformerEncoderLayer and TransformerDecoderLayer; biases that a
# part does not have are left out.
PlainLayer = Dict[str, Tensor]

NAMES = {"self_attn": "self_attn.", "cross_attn": "encoder_attn.", "ffn": ""}
NORM_NAMES = {
    "self_attn": "self_attn_layer_norm.",
    "cross_attn": "encoder_attn_layer_norm.",
    "ffn": "final_layer_norm.",
}
# The weight that each signal of a level folds into.
FOLDED = {
    "q": "self_attn.q_proj.weight",
    "k": "self_attn.k_proj.weight",
    "v": "self_attn.v_proj.weight",
    "ffn": "fc1.weight",
}


@torch.no_grad()
def plain_layers(stack: Stack) -> List[PlainLayer]:
    """The weights of every level of `stack` as a plain layer, signals folded in.

    A weight that levels share and no signal changes is the same tensor in each of them, so that a writer can store it
    once. A stack without feed-forward gets one of a single hidden channel, all zero; see :func:`_without_feed_forward`.

    Raises:
        ValueError: if the stack has a static signal, which no weight can hold.
    """
    if stack.static_signal is not None:
        raise ValueError(
            "static signals (Universal Transformer) do not fold: they are added to the state before every level, and a "
            "plain layer has no place for that"
        )
    weights = functools.cache(_weights)
    nothing = _without_feed_forward(stack) if stack.ffn is None else {}
    layers = []
    for level in range(stack.levels):
        layer: PlainLayer = {}
        for part, norm in stack.norm_of.items():
            _put(layer, NAMES[part], weights(getattr(stack, part)[getattr(stack.config, part)[level]]))
            _put(layer, NORM_NAMES[part], weights(stack.norms[norm].at(level)))
        for name, signal in (stack.signals[level] if stack.signals is not None else {}).items():
            layer[FOLDED[name]] = signal.fold(layer[FOLDED[name]])
        if nothing and not stack.config.pre_norm:
            last = NORM_NAMES["self_attn" if stack.cross_attn is None else "cross_attn"]
            for name in ("weight", "bias"):
                layer[f"final_layer_norm.{name}"] = layer.pop(last + name)
                layer[last + name] = nothing[f"final_layer_norm.{name}"]
        layers.append({**nothing, **layer})
    return layers


def _weights(module: nn.Module) -> Dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


def _put(layer: PlainLayer, prefix: str, weights: Dict[str, Tensor]) -> None:
    layer.update((prefix + name, weight) for name, weight in weights.items())


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
