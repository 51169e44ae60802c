"""One turn of the ring (arXiv 2502.13181, section 3): self-attention, cross-attention, feed-forward.

States are `(batch, length, embed_dim)` throughout. In a step of incremental decoding the beams of a sentence are its
length: they stand side by side, and read one memory and one past.
"""

from collections.abc import Callable, Container, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .attention import merge_heads, split_heads
from .cache import DecoderCache, Memory
from .config import StackConfig
from .kernels import add_dropped, attend, dropout, span

AttnWeights = dict[str, Tensor]


class Level(NamedTuple):
    """What one level computes with.

    `projections` by name, such as ``self_attn.qkv_proj``, map `(batch, length, in)` to `(batch, length, out)` with the
    level's signal; `norms` are by sub-layer. `step` is the step part of a static signal, `(embed_dim,)`; `drop_path` the
    probability of skipping its sub-layers.
    """

    number: int
    projections: Mapping[str, Callable[..., Tensor]]
    norms: Mapping[str, Callable[[Tensor], Tensor]]
    step: Tensor | None
    drop_path: float


class Context(NamedTuple):
    """What is the same for every level of a pass.

    `mask` is the additive one of the self-attention; `causal` says that it hides the future and nothing else.
    `positions` is the position part of a static signal, `(batch, length, embed_dim)`, where every level adds it;
    `need_weights` are the levels whose attention weights are returned; `dropouts` are for ``attention`` weights, after the
    ``activation`` and for the output of every ``sublayer``.
    """

    config: StackConfig
    mask: Tensor | None
    causal: bool
    memory: Memory | None
    positions: Tensor | None
    cache: DecoderCache | None
    need_weights: Container[int]
    dropouts: nn.ModuleDict


def run_level(x: Tensor, level: Level, context: Context) -> tuple[Tensor, AttnWeights | None]:
    """The state after `level`, for the state `x` before it; and its attention weights, if they are needed.

    Attention weights are `(batch, heads, length, keys)`, under ``self_attn`` and ``cross_attn``.
    """
    config, project = context.config, level.projections
    need_weights = level.number in context.need_weights
    attn_weights: AttnWeights = {}

    x = with_coordinates(x, level, context)

    # Self-attention, eq. 6: queries, keys and values are W x + M x.
    with span("self_attn"):
        query, key, value = _queries_keys_values(x, level, context)
        attended, attn_weights["self_attn"] = attend(
            query, key, value, context.mask, context.causal, context.dropouts["attention"], need_weights
        )
        x = _add_and_norm("self_attn", x, project["self_attn.out_proj"](merge_heads(attended)), level, context)

    # Cross-attention: keys and values come from the memory, which is the same at every level.
    if context.memory is not None:
        with span("cross_attn"):
            h = _sublayer_input("cross_attn", x, level, context)
            memory, absorbed = context.memory, context.memory.absorbed[level.number]
            if absorbed is not None:  # the same, quicker for one sentence alone
                out, attn_weights["cross_attn"] = absorbed(h, memory.mask)
            else:
                query = split_heads(project["cross_attn.q_proj"](h), 1, config.num_heads)[0]
                key, value = memory.keys_values[level.number]
                attended, attn_weights["cross_attn"] = attend(
                    query, key, value, memory.mask, False, context.dropouts["attention"], need_weights
                )
                out = project["cross_attn.out_proj"](merge_heads(attended))
            x = _add_and_norm("cross_attn", x, out, level, context)

    # Feed-forward, eq. 7: act((x + M x) W_up) W_down; the residual adds x itself, without the signal.
    if config.ffn is not None:
        with span("ffn"):
            h = _sublayer_input("ffn", x, level, context)
            hidden = config.activation(project["ffn.fc1"](h))
            out = project["ffn.fc2"](dropout(hidden, context.dropouts["activation"]))
            x = _add_and_norm("ffn", x, out, level, context)

    return x, attn_weights if need_weights else None


def with_coordinates(x: Tensor, level: Level, context: Context) -> Tensor:
    """The state as `level` reads it: the Universal Transformer's signal has both parts (arXiv 1807.03819, section 2.1)."""
    if context.positions is not None:
        x = x + context.positions
    if level.step is not None:
        x = x + level.step.to(x.dtype)
    return x


def cache_keys_values(x: Tensor, level: Level, context: Context) -> None:
    """Give the cache what later steps read at `level` of the state `x`, and run nothing else of it."""
    _queries_keys_values(with_coordinates(x, level, context), level, context)


def _queries_keys_values(x: Tensor, level: Level, context: Context) -> tuple[Tensor, Tensor, Tensor]:
    """What self-attention reads, `(batch, heads, length, head_dim)` each; keys and values of all steps so far."""
    h = _sublayer_input("self_attn", x, level, context)
    qkv = split_heads(level.projections["self_attn.qkv_proj"](h), 3, context.config.num_heads)
    query, key, value = qkv.unbind()
    if context.cache is not None:
        key, value = context.cache.append(level.number, qkv[1:])
    return query, key, value


def _sublayer_input(part: str, x: Tensor, level: Level, context: Context) -> Tensor:
    """What a sub-layer reads: the state, or with pre-norm the normalised state (unless its projection normalises)."""
    config = context.config
    return level.norms[part](x) if config.pre_norm and config.signal_input == "normalised" else x


def _add_and_norm(part: str, x: Tensor, out: Tensor, level: Level, context: Context) -> Tensor:
    """The state after a sub-layer: ``x + out`` (with `residual_scale`, times that), or with post-norm its norm."""
    config, dropout = context.config, context.dropouts["sublayer"]
    x = add_dropped(x, drop_path(out, level.drop_path), dropout, config.residual_scale)
    return x if config.pre_norm else level.norms[part](x)


def drop_path(x: Tensor, p: float) -> Tensor:
    """`x` `(batch, ...)` with whole samples dropped with probability `p` and the others scaled up (stochastic depth)."""
    if p == 0.0:
        return x
    keep = torch.empty(x.size(0), *[1] * (x.dim() - 1), dtype=x.dtype, device=x.device).bernoulli_(1.0 - p)
    return x * keep.div_(1.0 - p)
