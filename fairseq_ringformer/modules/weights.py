"""The weights of every level, ready to compute with: signals folded in or left thin, in the type of the activations."""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .attention import CrossAttentionWeights, SelfAttentionWeights
from .feed_forward import FeedForwardWeights
from .projection import Projection, project_levels
from .tracing import is_traced

PARTS = ("attn", "ffn")  # that a signal can stand at


class Norm(NamedTuple):
    """A layer norm over `(..., embed_dim)`."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return torch.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class LevelWeights(NamedTuple):
    """One turn of the ring; `cross_attn` and `ffn` are None where the stack has none, `norms` are by sub-layer."""

    self_attn: SelfAttentionWeights
    cross_attn: CrossAttentionWeights | None
    ffn: FeedForwardWeights | None
    norms: dict[str, Norm]


class StackWeights(NamedTuple):
    """All levels; the keys' and values' projection of each copy of the cross-attention; the norm behind the last level."""

    levels: list[LevelWeights]
    memories: list[Projection]
    final_norm: Norm | None


def stack_weights(
    stack: nn.Module, dtype: torch.dtype = torch.float32, thin: tuple[str, ...] = (), kept: bool = False
) -> StackWeights:
    """The weights of `stack` (a :class:`~.stack.Stack`) in `dtype`.

    Args:
        thin: parts, ``attn`` or ``ffn``, whose signals stay thin products instead of being folded; all, where signals read
            another state than their projections do.
        kept: whether they will serve many passes where nothing learns (:func:`~.projection.project_levels`).
    """
    levels = range(stack.levels)
    if stack.config.signal_input == "state":
        thin = PARTS

    def shared(bank: nn.ModuleList, name: str, part: str = "") -> list[Projection]:
        signals = stack.signals[part] if stack.signals is not None and part in stack.signals else None
        sharing = stack.config.ffn if bank is stack.ffn else bank.sharing
        linears = [getattr(bank[sharing[level]], name) for level in levels]
        return project_levels(linears, signals, dtype, part not in thin, kept)

    def norm(module: nn.LayerNorm) -> Norm:
        return Norm(module.weight.to(dtype), module.bias.to(dtype), module.eps)

    self_attn = [
        SelfAttentionWeights(qkv, out, stack.self_attn[0].dropout)
        for qkv, out in zip(shared(stack.self_attn, "qkv_proj", "attn"), shared(stack.self_attn, "out_proj"))
    ]
    cross_attn, ffn, memories = [None] * len(levels), [None] * len(levels), []
    if stack.cross_attn is not None:
        cross_attn = [
            CrossAttentionWeights(query, out, stack.cross_attn[0].dropout)
            for query, out in zip(shared(stack.cross_attn, "q_proj"), shared(stack.cross_attn, "out_proj"))
        ]
        memories = project_levels([attn.kv_proj for attn in stack.cross_attn], None, dtype, True, kept)
    if stack.ffn is not None:
        ffn = [
            FeedForwardWeights(fc1, fc2, stack.config.activation, stack.ffn[0].dropout)
            for fc1, fc2 in zip(shared(stack.ffn, "fc1", "ffn"), shared(stack.ffn, "fc2"))
        ]
    norms = [{part: norm(stack.norms[bank].at(level)) for part, bank in stack.norm_of.items()} for level in levels]
    final_norm = None if stack.final_norm is None else norm(stack.final_norm)
    return StackWeights(
        [LevelWeights(*parts) for parts in zip(self_attn, cross_attn, ffn, norms)], memories, final_norm
    )


# Where a parameter stands: the dictionary of the module that has it, and its name there.
Place = tuple[dict[str, nn.Parameter | None], str]


def places(*modules: nn.Module) -> list[Place]:
    """Where the parameters of `modules` stand."""
    return [
        (own._parameters, name)
        for module in modules
        for own in module.modules()
        for name, parameter in own._parameters.items()
        if parameter is not None
    ]


class Kept:
    """What is computed from parameters, kept between passes where nothing learns.

    It is forgotten when a parameter has changed in place, or another stands in its place. What goes unnoticed, changes
    of ``parameter.data`` in place, is the owner's to tell (:class:`Keeps`): loading, moving, and the steps of fairseq's
    optimizers.
    """

    def __init__(self):
        self._kept: dict[Any, Any] = {}
        self._places: list[Place] = []
        self._parameters: list[nn.Parameter] = []
        self._seen: list[tuple[int, int]] = []

    def __deepcopy__(self, memo) -> "Kept":
        return Kept()

    def __reduce__(self):
        return Kept, ()

    def forget(self) -> None:
        self._kept.clear()
        self._parameters.clear()

    def get(self, key: Any, where: Callable[[], list[Place]], compute: Callable[[], Any]) -> Any:
        """What `compute` has made, or makes now, of the parameters that stand at `where`."""
        if not self._kept:
            self._places = where()
        parameters = [own.get(name) for own, name in self._places]
        # A decoder passes here at every step: what tells nothing of known parameters is asked of new ones only.
        known = bool(self._kept) and all(map(operator.is_, parameters, self._parameters))
        # Others count no changes, or stand there for a moment only (torch.func's, inference tensors).
        if not known and any(type(own) is not nn.Parameter or own.is_inference() for own in parameters):
            self.forget()
            return compute()
        seen = [(parameter._version, parameter.data_ptr()) for parameter in parameters]
        if not known or seen != self._seen:
            self._kept.clear()
        self._parameters, self._seen = parameters, seen
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]


def _forget(module: "Keeps", keys: Any) -> None:
    module.kept.forget()


class Keeps(nn.Module):
    """A module that keeps what it computes from its parameters, in `kept`, and forgets it when they may have changed."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.kept = Kept()
        self.register_load_state_dict_post_hook(_forget)

    def train(self, mode: bool = True) -> "Keeps":
        self.kept.forget()
        return super().train(mode)

    def _apply(self, *args, **kwargs) -> "Keeps":
        self.kept.forget()
        return super()._apply(*args, **kwargs)


def weights_for(stack: nn.Module, x: Tensor, kept: Kept) -> StackWeights:
    """The weights of `stack` for a pass over `x` `(batch, length, embed_dim)`, in its type.

    Where something may learn they are made anew, signals folded or thin, whichever is cheaper for so many tokens. Else
    they are folded once: even one sentence alone, where decoding is bound by reading weights, gains nothing from reading
    the shared block and thin signals instead of every level's own folded weights (measured at 512/2048).
    """
    if is_traced(x):
        return stack_weights(stack, x.dtype)
    if torch.is_grad_enabled() or stack.training:
        return stack_weights(stack, x.dtype, _thin_for(stack, x.numel() // x.size(-1)))
    key = _precision(x.dtype, x.device.type)
    return kept.get(key, lambda: _places(stack), lambda: stack_weights(stack, x.dtype, kept=True))


def keep_weights(stack: nn.Module, dtype: torch.dtype, folded: bool) -> None:
    """Prepare the weights of `stack` for passes in `dtype` where nothing learns, signals folded or left thin."""
    stack.kept.forget()
    thin = () if folded else PARTS
    key = _precision(dtype, next(stack.parameters()).device.type)
    stack.kept.get(key, lambda: _places(stack), lambda: stack_weights(stack, dtype, thin, kept=True))


def _precision(dtype: torch.dtype, device: str) -> tuple[torch.dtype, torch.dtype | None]:
    """What folded weights depend on besides the parameters: under autocast they are products in its type."""
    casts = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return dtype, torch.get_autocast_dtype(device) if casts else None


def _places(stack: nn.Module) -> list[Place]:
    # The feed-forward may be the other stack's, and then is none of this stack's modules.
    return places(stack, *(() if stack.ffn is None else (stack.ffn,)))


def _thin_for(stack: nn.Module, tokens: int) -> tuple[str, ...]:
    """Parts where thin products over `tokens` cost less than folding anew."""
    rows = {"attn": 3 * stack.config.embed_dim, "ffn": stack.config.ffn_dim}
    return tuple(part for part, signals in (stack.signals or {}).items() if signals.pays_thin(tokens, rows[part]))
