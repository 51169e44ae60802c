"""What a stack is built from: sizes, sharing maps and signals, checked before anything is allocated."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from .feed_forward import gelu
from .sharing import SharingMap
from .signals import AFTER, BEFORE

SIGNALS = ("low-rank", "full-rank", "static", "none")
# Table 4's names for where the feed-forward signal stands, and what they mean at fc1.
FFN_PLACES = {"before": BEFORE, "inter": AFTER}


@dataclass(frozen=True)
class StackConfig:
    """One side of a model: an encoder or a decoder stack.

    Args:
        embed_dim: channels of the state (d, or H in the paper).
        num_heads: attention heads.
        ffn_dim: hidden channels of the feed-forward (FF).
        self_attn, ffn, norm: sharing maps, one copy number per level; ``ffn=None`` leaves the feed-forward out.
        cross_attn: sharing map of the attention over `memory`, or None for a stack without it (an encoder).
        ffn_norm: sharing map of the feed-forward's norm; None follows `norm`.
        norm_per: ``sublayer``, or ``level`` to reuse one norm for all the sub-layers of a level.
        signal: ``low-rank`` (eq. 6 and 7), ``full-rank``, ``static`` (Universal Transformer) or ``none``.
        signal_rank: rank r of low-rank signals; None for ``max(1, embed_dim // 16)`` (the paper's).
        attention_signal: ``after`` the projections of queries, keys and values (eq. 6), ``before`` them or ``none``.
        ffn_signal: ``before`` fc1 (eq. 7), ``inter`` (after it) or ``none``.
        signal_input: what signals read: the ``normalised`` state, as their projections do (the paper's equations), or the
            ``state`` before its norm, which needs `pre_norm` and does not fold.
        pre_norm: normalise each sub-layer's input, with a final norm, instead of each residual sum.
        memory_dim: channels of the memory that cross-attention reads; None for `embed_dim`.
        dropout: on each sub-layer's output; `attention_dropout` on attention weights; `activation_dropout` after the
            activation.
        drop_path: probability with which the last level's sub-layers are skipped for a whole sample (stochastic depth);
            it grows linearly from zero at the first.

    Raises:
        ValueError: for sizes or combinations that make no model, naming them.
    """

    embed_dim: int
    num_heads: int
    ffn_dim: int
    self_attn: SharingMap
    ffn: SharingMap | None
    norm: SharingMap
    cross_attn: SharingMap | None = None
    ffn_norm: SharingMap | None = None
    norm_per: str = "sublayer"
    signal: str = "none"
    signal_rank: int | None = None
    attention_signal: str = "none"
    ffn_signal: str = "none"
    signal_input: str = "normalised"
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
            raise ValueError("a stack needs at least one level")
        if self.num_heads < 1 or self.embed_dim % self.num_heads:
            raise ValueError(
                f"embed_dim {self.embed_dim} is not divisible by the number of attention heads, {self.num_heads}"
            )
        for name, value, choices in (
            ("signal", self.signal, SIGNALS),
            ("attention signal", self.attention_signal, (AFTER, BEFORE, "none")),
            ("feed-forward signal", self.ffn_signal, (*FFN_PLACES, "none")),
            ("signal input", self.signal_input, ("normalised", "state")),
            ("norm_per", self.norm_per, ("sublayer", "level")),
        ):
            if value not in choices:
                raise ValueError(f"{name} {value!r} is unknown: choose one of {', '.join(choices)}")
        if self.signal == "low-rank" and not 1 <= self.rank <= self.embed_dim:
            raise ValueError(f"signal rank {self.rank} must lie between 1 and the embedding width, {self.embed_dim}")
        if not self.adaptive and (self.attention_signal, self.ffn_signal) != ("none", "none"):
            raise ValueError(f"signal {self.signal!r} has no attention or feed-forward signal")
        if self.signal_input == "state" and not self.pre_norm:
            raise ValueError("signal input 'state' needs pre_norm: without it, projections read the state itself")
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"drop_path {self.drop_path} must lie between 0 and 1")

    @property
    def levels(self) -> int:
        """N, how often the block runs."""
        return len(self.self_attn)

    def first(self, levels: int) -> "StackConfig":
        """The first `levels` levels alone."""
        maps = ("self_attn", "cross_attn", "ffn", "norm", "ffn_norm")
        kept = {name: getattr(self, name)[:levels] for name in maps if getattr(self, name) is not None}
        return replace(self, **kept)

    @property
    def adaptive(self) -> bool:
        """Whether levels are told apart by signals computed from the state."""
        return self.signal in ("low-rank", "full-rank")

    @property
    def rank(self) -> int:
        """r of low-rank signals."""
        return max(1, self.embed_dim // 16) if self.signal_rank is None else self.signal_rank
