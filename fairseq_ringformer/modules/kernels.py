"""Everything that is there for speed only. Each function names the plain form that it must equal, and begins with it.

``with plain():``, or the environment variable ``RINGFORMER_PLAIN=1``, turns all of it off: the model then computes with
the modules as :mod:`.projection`, :mod:`.attention` and :mod:`.level` state them. The plain forms run as well while a
graph is recorded (it must hold for any shape), and, folding aside, on devices other than CPUs, whose own kernels are
quick. Numbers in comments were measured on two cores of an Intel Xeon (Sapphire Rapids).
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import attention
from .attention import drop_probability
from .projection import Projection, fold
from .signals import LevelSignals

# ---- the switch

_plain = os.environ.get("RINGFORMER_PLAIN", "0") not in ("", "0")


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Compute by the plain forms alone."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


def is_traced(x: Tensor) -> bool:
    """Whether torch.fx, torch.jit, torch.export or torch.compile is recording what is done to `x`."""
    return isinstance(x, torch.fx.Proxy) or torch.compiler.is_compiling() or torch.jit.is_tracing()


def is_plain(x: Tensor) -> bool:
    """Whether `x` is computed with by the plain forms, on any device."""
    return _plain or is_traced(x)


def _elsewhere(x: Tensor) -> bool:
    """Whether the choices made for CPUs do not hold for `x`."""
    return is_plain(x) or x.device.type != "cpu"


def span(name: str) -> AbstractContextManager:
    """Names what runs inside for torch's profiler, as ``ring::NAME``; free while none runs."""
    # Not in a recorded graph: is_compiling alone tells, since torch.fx and torch.jit ignore contexts.
    if torch.compiler.is_compiling() or not torch.autograd._profiler_enabled():
        return _NOTHING
    return torch.profiler.record_function(f"ring::{name}")


_NOTHING = contextlib.nullcontext()

# ---- dropout with few random numbers: drawing them is a third of a training step with torch's own

# An element is kept or dropped by 16 random bits, so its probability is a multiple of 1 / 65536.
GRAIN = 1 << 16


def dropout(x: Tensor, module: nn.Module) -> Tensor:
    """`x` with elements dropped and the others scaled up, as `module` does."""
    if _elsewhere(x):
        return module(x)
    p = drop_probability(module)
    return x if p == 0.0 else x * keep_noise(x, p)


def add_dropped(residual: Tensor, x: Tensor, module: nn.Module, scale: float = 1.0) -> Tensor:
    """``residual + scale * dropout(x)``, in one pass."""
    if _elsewhere(x):
        return torch.add(residual, module(x), alpha=scale)
    p = drop_probability(module)
    if p == 0.0:
        return torch.add(residual, x, alpha=scale)
    return torch.addcmul(residual, x, keep_noise(x, p), value=scale)


def keep_noise(x: Tensor, p: float) -> Tensor:
    """0 with probability `p` (to 1 / 65536), else one over the probability of being kept; shape and type of `x`.

    Four elements share one 64-bit random number of torch's generator.
    """
    dropped = min(round(p * GRAIN), GRAIN - 1)
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    survives = words.view(torch.int16)[: x.numel()] >= dropped - GRAIN // 2
    return survives.to(x.dtype).mul_(GRAIN / (GRAIN - dropped)).view(x.shape)


# ---- GELU in parts

# Elements up to which four plain operations beat torch's GELU, which wakes its threads for any number.
FEW = 1 << 14


def gelu(x: Tensor) -> Tensor:
    """``F.gelu(x) = x * (1 + erf(x / sqrt 2)) / 2``."""
    if _elsewhere(x) or torch.is_grad_enabled() or x.numel() > FEW or x.dtype != torch.float32:
        return F.gelu(x)
    return (x * 0.5**0.5).erf_().add_(1.0).mul_(x).mul_(0.5)


# ---- attention as two products

# In training, up to so many keys, two small products and a softmax in between beat torch's fused kernel where there is a
# mask. For bfloat16 its backward pass is several times slower at any length; the bound is there for memory.
SHORT, SHORT_BFLOAT16 = 64, 512
# Channels of a head below which the two products are in float32 at least: small ones are slower in bfloat16.
NARROW = 32


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    causal: bool,
    dropout: nn.Module,
    need_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """:func:`.attention.attend`, as two products over flattened heads where that is quicker."""
    if _elsewhere(query) or not need_weights and fused_is_quicker(query, key, mask):
        return attention.attend(query, key, value, mask, causal, dropout, need_weights)
    batch, heads, length, head_dim = query.shape
    in_dtype = query.dtype
    dtype = torch.promote_types(in_dtype, torch.float32) if head_dim < NARROW else in_dtype
    # The copy that lays heads out casts as well.
    query, key, value = (x.to(dtype, memory_format=torch.contiguous_format).flatten(0, 1) for x in (query, key, value))
    scores = torch.baddbmm(  # beta 0: what is added is not read
        query.new_empty(()), query, key.transpose(1, 2), beta=0.0, alpha=head_dim**-0.5
    ).view(batch, heads, length, -1)
    weights = torch.softmax(scores if mask is None else scores.add_(mask), dim=-1)
    p = drop_probability(dropout)
    dropped = weights if p == 0.0 else weights * keep_noise(weights, p)
    out = torch.bmm(dropped.flatten(0, 1), value).view(batch, heads, length, head_dim)
    return out.to(in_dtype), weights if need_weights else None


def fused_is_quicker(query: Tensor, key: Tensor, mask: Tensor | None) -> bool:
    """Whether torch's fused kernel beats the two products."""
    if not torch.is_grad_enabled():
        return True
    if query.dtype == torch.bfloat16:
        return key.size(2) > SHORT_BFLOAT16
    return mask is None or key.size(2) > SHORT


# ---- signals folded into the weights, where that is cheaper than leaving them thin


class Folded(NamedTuple):
    """What :class:`.projection.Projection` is at one level: ``W x + b``, the signal in W."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class FoldedNorm(NamedTuple):
    """What :class:`.parts.Norm` is, its weights in the type of the states."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return torch.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def folding_pays(signals: LevelSignals, projection: Projection, tokens: int) -> bool:
    """Whether folding takes no more multiply-adds than ``M x`` (thin products, where M is of low rank) of `tokens`.

    It holds on any device: one product for all levels, instead of several at each.
    """
    thin, folding = signals.multiply_adds(projection.out_features)
    return tokens * thin >= folding


# Multiply-adds of folding a level up to which a search spends more on calling thin products than on folding.
CHEAP = 1 << 23
# Steps of a search, as far as can be known at its first.
STEPS = 32


def folding_pays_a_search(signals: LevelSignals, projection: Projection, tokens: int) -> bool:
    """As :func:`folding_pays`, once for all the steps of a search, of `tokens` each."""
    if signals.multiply_adds(projection.out_features)[1] <= CHEAP:
        return True
    return folding_pays(signals, projection, STEPS * tokens)


def fold_weights(projections: list[Projection], signals: LevelSignals | None, dtype: torch.dtype) -> list[Folded]:
    """The folded projections of all levels, for a pass in `dtype` that may learn.

    Weights are rounded to `dtype` for each level anew, so that the gradients of all levels add up in their own type.
    """
    biases = [None if projection.bias is None else projection.bias.to(dtype) for projection in projections]
    return [Folded(weight.to(dtype), bias) for weight, bias in zip(fold(projections, signals), biases)]


def lay_out(weight: Tensor) -> Tensor:
    """`weight` with contiguous columns, a copy, on CPUs: faster for few rows.

    Up to twice for 5 to 40 rows; on an AMD EPYC (Zen 3) 0.8 to 1.3 times for the weights of a level, and for a head of
    8,000 symbols and 512 channels 2.4 times for one row, 1.3 for 5, 1.1 for 32 and more.
    """
    return weight.t().contiguous().t() if weight.device.type == "cpu" else weight


def fold_for_inference(
    projections: list[Projection], signals: LevelSignals | None, dtype: torch.dtype, laid_out: bool
) -> list[Folded]:
    """The folded projections of all levels, for many passes in `dtype` where nothing learns.

    What levels share is one tensor. With `laid_out` see :func:`lay_out`.
    """
    made: dict[int, Tensor] = {}

    def once(weight: Tensor) -> Tensor:
        if id(weight) not in made:
            rounded = weight.detach().to(dtype)
            made[id(weight)] = lay_out(rounded) if laid_out and rounded.dim() == 2 else rounded
        return made[id(weight)]

    weights = fold(projections, signals)
    return [
        Folded(once(weight), None if projection.bias is None else once(projection.bias))
        for projection, weight in zip(projections, weights)
    ]


def is_touched(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether `module` does more than its class `kind` says: it is wrapped (LoRA), pruned, parametrized, or has hooks.

    Such a module is called, never read.
    """
    return type(module) is not kind or bool(
        module._forward_pre_hooks or module._forward_hooks or module._backward_pre_hooks or module._backward_hooks
    )


# ---- cross-attention over one sentence, its projections absorbed

# Elements of an absorbed projection up to which only calls count: half a megabyte stays in a core's own cache.
ABSORBED = 1 << 17


class AbsorbedAttention(NamedTuple):
    """A cross-attention over one sentence, its queries' projection absorbed into the keys, its output's into the values.

    ``(W_Q x) . k = x . (W_Q^T k)``, and the output is linear in the values: for a short sentence both products are
    smaller than the projections, and fewer. The plain form is in :func:`.level.run_level`.

    `scores` maps to `heads * src_len` scaled scores, `out` maps the weights to `embed_dim`.
    """

    scores: Folded
    out: Folded
    dropout: nn.Module
    num_heads: int

    def __call__(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Output `(1, length, embed_dim)` for `x` of this shape, and weights `(1, heads, length, src_len)`."""
        scores = self.scores(x).view(1, x.size(1), self.num_heads, -1)
        weights = torch.softmax(scores if mask is None else scores.add_(mask), dim=-1)
        return self.out(dropout(weights, self.dropout).flatten(2)), weights.transpose(1, 2)


def absorb(
    q_proj: Callable, out_proj: Callable, key: Tensor, value: Tensor, dropout: nn.Module
) -> AbsorbedAttention | None:
    """The attention over the memory of one sentence, `key` and `value` `(1, heads, src_len, head_dim)`.

    None if it does not pay: it does where what is read at a step is no more than the projection, or so little that only
    the calls count.
    """
    if not (isinstance(q_proj, Folded) and isinstance(out_proj, Folded)):
        return None
    sentences, heads, length, head_dim = key.shape
    embed_dim = len(out_proj.weight)
    if sentences > 1 or heads * length * embed_dim > max(q_proj.weight.numel(), ABSORBED):
        return None
    scale = head_dim**-0.5
    queries = (key[0] @ q_proj.weight.unflatten(0, (heads, head_dim))).mul_(scale).view(heads * length, embed_dim)
    bias = None
    if q_proj.bias is not None:
        bias = (key[0] @ q_proj.bias.view(heads, head_dim, 1)).mul_(scale).view(-1)
    outputs = value[0] @ out_proj.weight.unflatten(1, (heads, head_dim)).permute(1, 2, 0)
    out = Folded(outputs.view(heads * length, embed_dim).t(), out_proj.bias)
    return AbsorbedAttention(Folded(queries, bias), out, dropout, heads)
