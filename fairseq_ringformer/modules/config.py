"""What a stack is built from: sizes, sharing maps and signals, checked before anything is allocated."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from ..errors import UserError
from .kernels import gelu
from .projection import INITS
from .sharing import ADAPTIVE, AFTER, COORDINATES, RANKED, SIGNALS, SharingMap, parse_signals


@dataclass(frozen=True)
class StackConfig:
    """One side of a model: an encoder or a decoder stack.

    Args:
        embed_dim: channels of the state (d, or H in the paper).
        num_heads: attention heads.
        ffn_dim: hidden channels of the feed-forward (FF).
        self_attn, ffn, norm: sharing maps, one copy number per level; ``ffn=None`` leaves the feed-forward out.
        cross_attn: sharing map of the attention over `memory`, or None for a stack without it (an encoder).
        ffn_widths: hidden channels of each copy of the feed-forward, where they differ; None for `ffn_dim` each. Signals
            that write or read hidden channels need one width.
        ffn_norm: sharing map of the feed-forward's norm; None follows `norm`.
        norm_per: ``sublayer``, or ``level`` to reuse one norm for all the sub-layers of a level.
        signal: ``low-rank`` (eq. 6 and 7), ``full-rank``, ``diagonal`` (a scale for every channel), ``low-rank+diagonal``
            (their sum), ``static`` (Universal Transformer: coordinates of position and step, added to the state before
            every level), ``steps`` (those of the step alone) or ``none``.
        signal_rank: rank r of low-rank signals; None for ``max(1, embed_dim // 16)`` (the paper's).
        signal_init_std: deviation that the factor of low-rank signals that is not zero starts with; None for
            ``in_features ** -0.5``.
        signals: where signals computed from the state stand (all but the last three): projection, such as
            ``self_attn.qkv_proj``, to ``after`` or ``before`` (eq. 6 and 7: ``{"self_attn.qkv_proj": "after", "ffn.fc1":
            "before"}``).
        signal_input: what signals read: the ``normalised`` state, as their projections do (the paper's equations), or the
            ``state`` before its norm (its published vision models: ``W LN(x) + M x`` after a projection, ``W LN(x + M x)``
            before it), which needs `pre_norm` and does not fold.
        coordinates: which sinusoids positions and steps are, ``dehghani`` or ``released``; see :func:`~.signals.coordinate_table`.
        init: how the weights of projections start: ``xavier`` (uniform) or ``normal-0.02``, of this deviation.
        residual_scale: in front of every sub-layer's output: ``x + residual_scale * out``.
        halting: every position ends its loop by itself (:mod:`.halting`); built by :func:`~.halting.build_stack`.
        pre_norm: normalise each sub-layer's input, with a final norm, instead of each residual sum.
        attn_bias, ffn_bias: whether the projections of attention and of the feed-forward have biases.
        norm_eps: epsilon of every norm.
        memory_dim: channels of the memory that cross-attention reads; None for `embed_dim`.
        activation: of the feed-forward.
        dropout: on each sub-layer's output; `attention_dropout` on attention weights; `activation_dropout` after the
            activation.
        drop_path: probability with which the last level's sub-layers are skipped for a whole sample (stochastic depth);
            it grows linearly from zero at the first.
        checkpoint_activations: training keeps the state between levels alone, and computes the rest of each once more.

    Raises:
        UserError: for sizes or combinations that make no model, naming them.
    """

    embed_dim: int
    num_heads: int
    ffn_dim: int
    self_attn: SharingMap
    ffn: SharingMap | None
    norm: SharingMap
    cross_attn: SharingMap | None = None
    ffn_widths: tuple[int, ...] | None = None
    ffn_norm: SharingMap | None = None
    norm_per: str = "sublayer"
    signal: str = "none"
    signal_rank: int | None = None
    signals: Mapping[str, str] = field(default_factory=dict)
    signal_init_std: float | None = None
    signal_input: str = "normalised"
    coordinates: str = "dehghani"
    init: str = "xavier"
    residual_scale: float = 1.0
    halting: bool = False
    pre_norm: bool = False
    attn_bias: bool = False
    ffn_bias: bool = False
    norm_eps: float = 1e-5
    memory_dim: int | None = None
    activation: Callable[[Tensor], Tensor] = gelu
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    drop_path: float = 0.0
    checkpoint_activations: bool = False

    def __post_init__(self):
        if self.levels < 1:
            raise UserError("a stack needs at least one level")
        if self.num_heads < 1 or self.embed_dim % self.num_heads:
            raise UserError(
                f"embed_dim {self.embed_dim} is not divisible by the number of attention heads, {self.num_heads}"
            )
        for name, value, choices in (
            ("signal", self.signal, SIGNALS),
            ("signal input", self.signal_input, ("normalised", "state")),
            ("norm_per", self.norm_per, ("sublayer", "level")),
            ("coordinates", self.coordinates, COORDINATES),
            ("init", self.init, INITS),
        ):
            if value not in choices:
                raise UserError(f"{name} {value!r} is unknown: choose one of {', '.join(choices)}")
        if self.signal in RANKED and not 1 <= self.rank <= self.embed_dim:
            raise UserError(f"signal rank {self.rank} must lie between 1 and the embedding width, {self.embed_dim}")
        if self.signal_init_std is not None and not 0 < self.signal_init_std < math.inf:
            raise UserError(f"signal_init_std {self.signal_init_std} must be above 0: nothing would ever learn")
        if self.ffn_widths is not None and (self.ffn is None or len(self.ffn_widths) != max(self.ffn) + 1):
            raise UserError(f"ffn_widths {self.ffn_widths}: it takes one for each copy of the feed-forward, {self.ffn}")
        for name, width in (("embed_dim", self.embed_dim), *(("ffn_dim", width) for width in self.ffn_dims)):
            if width < 1:
                raise UserError(f"{name} {width} must be at least 1")
        if self.signals and self.signal not in ADAPTIVE:
            raise UserError(f"signal {self.signal!r} stands at no projection, but signals names some")
        for projection in parse_signals(self.signals) if self.signals else ():
            if getattr(self, projection.partition(".")[0]) is None:
                raise UserError(f"signals: the stack has no {projection}")
            hidden = projection == "ffn.fc2" or (projection == "ffn.fc1" and self.signals[projection] == AFTER)
            if hidden and len(set(self.ffn_dims)) > 1:
                raise UserError(f"signals: {projection} has copies of different widths, signals need one")
        if self.signal_input == "state" and not self.pre_norm:
            raise UserError("signal input 'state' needs pre_norm: without it, projections read the state itself")
        for name in ("dropout", "attention_dropout", "activation_dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} {getattr(self, name)} must lie between 0 and 1")

    @property
    def levels(self) -> int:
        """N, how often the block runs."""
        return len(self.self_attn)

    def first(self, levels: int) -> "StackConfig":
        """The first `levels` levels alone."""
        maps = ("self_attn", "cross_attn", "ffn", "norm", "ffn_norm")
        shortened = {name: getattr(self, name)[:levels] for name in maps if getattr(self, name) is not None}
        if self.ffn_widths is not None:
            shortened["ffn_widths"] = self.ffn_widths[: max(shortened["ffn"]) + 1]
        return replace(self, **shortened)

    @property
    def ffn_dims(self) -> tuple[int, ...]:
        """Hidden channels of the feed-forward at each level; none without one."""
        if self.ffn_widths is None:
            return () if self.ffn is None else (self.ffn_dim,) * self.levels
        return tuple(self.ffn_widths[copy] for copy in self.ffn)

    @property
    def adds_positions(self) -> bool:
        """Whether positions are added to the state before every level, and so not to its input."""
        return self.signal == "static"

    @property
    def adds_steps(self) -> bool:
        """Whether the step, the number of the level, is added to the state before every level."""
        return self.signal in ("static", "steps")

    @property
    def rank(self) -> int:
        """r of low-rank signals."""
        return max(1, self.embed_dim // 16) if self.signal_rank is None else self.signal_rank
