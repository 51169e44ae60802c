"""A stack of shared levels and signals as the plain layers that it is equal to.

Level signals are linear, so they fold into the weights beside which they stand (RingFormer, arXiv 2502.13181, eq. 6 and
7): ``W x + M x = (W + M) x`` and ``W (x + M x) = (W (I + M)) x``. What is left of a level is an ordinary layer.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..modules import Stack
from ..modules.projection import fold

# Weights of one layer, under the names of fairseq's TransformerEncoderLayer and TransformerDecoderLayer; biases that a
# part does not have are left out.
PlainLayer = dict[str, Tensor]

# The projections of each part: their names in those layers, and what is packed in them.
NAMES = {
    "self_attn": {"qkv_proj": ("self_attn", ("q", "k", "v")), "out_proj": ("self_attn.out_proj", ())},
    "cross_attn": {
        "q_proj": ("encoder_attn.q_proj", ()),
        "kv_proj": ("encoder_attn", ("k", "v")),
        "out_proj": ("encoder_attn.out_proj", ()),
    },
    "ffn": {"fc1": ("fc1", ()), "fc2": ("fc2", ())},
}
NORMS = {"self_attn": "self_attn_layer_norm", "cross_attn": "encoder_attn_layer_norm", "ffn": "final_layer_norm"}
# What a sub-layer adds to the state comes from these.
OUTPUTS = ("out_proj", "fc2")


def why_not_plain(stack: Stack) -> str | None:
    """What keeps `stack` from being plain layers; None if nothing does."""
    if stack.config.halting:
        return "adaptive halting does not fold: plain layers run for every position alike"
    if stack.static_signal is not None:
        added = "static signals (Universal Transformer)" if stack.config.adds_positions else "steps"
        return f"{added} do not fold: they are added to the state before every level, and a plain layer has no place for that"
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
    once. Feed-forwards are of one width: narrower ones get hidden channels that are zero. A stack without gets one of a
    single such channel; see :func:`_with_feed_forward`.

    Raises:
        UserError: if positions halt by themselves, or if the stack adds positions or steps to the state, or has signals
            that read another state than their projections do, which no weight can hold.
    """
    problem = why_not_plain(stack)
    if problem:
        raise UserError(problem)
    layers: list[PlainLayer] = [{} for _ in range(stack.levels)]
    for part in stack.parts:
        for name, (prefix, packed) in NAMES[part].items():
            projections = stack.projections_at(f"{part}.{name}")
            weights = fold(projections, stack.signals_at(f"{part}.{name}"))
            biases = [projection.bias for projection in projections]
            if name in OUTPUTS and stack.config.residual_scale != 1.0:
                weights, biases = (_scaled(tensors, stack.config.residual_scale) for tensors in (weights, biases))
            for layer, weight, bias in zip(layers, weights, biases):
                layer.update(_unpack(prefix, packed, weight, bias))
        for level, layer in enumerate(layers):
            norm = stack.norms[stack.norm_of[part]].at(level)
            layer.update(_unpack(NORMS[part], (), norm.weight, norm.bias))
    if stack.ffn is None:
        return [_with_feed_forward(stack, layer) for layer in layers]
    return [_widened(layer, max(stack.config.ffn_dims)) for layer in layers]


def with_biases(layers: list[PlainLayer]) -> list[PlainLayer]:
    """`layers` with a bias at every projection, zero where it had none; zeros of one size are the same tensor."""
    zeros = functools.cache(layers[0]["fc1.weight"].new_zeros)
    return [
        {name.replace("weight", "bias"): zeros(len(weight)) for name, weight in layer.items() if weight.dim() == 2}
        | layer
        for layer in layers
    ]


def position_table(host) -> Tensor:
    """Position embeddings `(positions, embed_dim)` of an encoder or decoder of fairseq, from the first on; zeros if it has none."""
    count = host.max_positions()
    if host.embed_positions is None:
        return host.embed_tokens.weight.new_zeros(count, host.embed_tokens.embedding_dim)
    learned = isinstance(host.embed_positions, nn.Embedding)
    table = host.embed_positions.weight if learned else host.embed_positions.weights
    return table[host.padding_idx + 1 :][:count].clone()


def _widened(layer: PlainLayer, ffn_dim: int) -> PlainLayer:
    """`layer` with a feed-forward of `ffn_dim` hidden channels, those that it lacks zero."""
    more = ffn_dim - len(layer["fc1.weight"])
    if not more:
        return layer
    edges = {"fc1.weight": (0, 0, 0, more), "fc1.bias": (0, more), "fc2.weight": (0, more)}
    return {name: F.pad(weight, edges[name]) if name in edges else weight for name, weight in layer.items()}


def _scaled(tensors: list[Tensor | None], factor: float) -> list[Tensor | None]:
    """`tensors`, of which several may be the same one, times `factor`."""
    scaled = {id(tensor): factor * tensor for tensor in tensors if tensor is not None}
    return [scaled.get(id(tensor)) for tensor in tensors]


def _unpack(prefix: str, packed: tuple[str, ...], weight: Tensor, bias: Tensor | None) -> PlainLayer:
    """A `weight` and `bias` under their names; what is `packed` in them apart."""
    names = [f"{prefix}.{part}_proj" for part in packed] or [prefix]
    layer = {}
    for kind, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None:
            layer.update(zip((f"{name}.{kind}" for name in names), tensor.detach().chunk(len(names))))
    return layer


def _with_feed_forward(stack: Stack, layer: PlainLayer) -> PlainLayer:
    """`layer` with a feed-forward that adds nothing, and a norm of scale one and shift zero.

    Pre-norm, that is all. Post-norm, a plain layer still normalises after it, where the stack does not: there the norm
    before it becomes the one of scale one, and its scale and shift move to the norm after it. Normalising twice differs
    from once only by the norm's epsilon.
    """
    width = stack.config.embed_dim
    like = layer["self_attn.out_proj.weight"]
    idle = {
        "fc1.weight": like.new_zeros(1, width),
        "fc2.weight": like.new_zeros(width, 1),
        "final_layer_norm.weight": like.new_ones(width),
        "final_layer_norm.bias": like.new_zeros(width),
    }
    layer = {**idle, **layer}
    if not stack.config.pre_norm:
        last = NORMS[stack.parts[-1]]
        for kind in ("weight", "bias"):
            after, before = f"final_layer_norm.{kind}", f"{last}.{kind}"
            layer[after], layer[before] = layer[before], layer[after]
    return layer
