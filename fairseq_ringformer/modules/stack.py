"""The ring: one loop over levels for every architecture (arXiv 2502.13181, section 3).

Architectures differ only in which copy of each part a level uses, and in what tells the levels apart; both are data
(:class:`~.config.StackConfig`). Tensors are batch first, `(batch, length, channels)`.
"""

from typing import Callable, Container, Dict, List, Mapping, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention import NO_SIGNALS, Attention
from .cache import DecoderCache, KeyValue
from .config import FFN_PLACES, StackConfig
from .feed_forward import FeedForward
from .sharing import Bank
from .signals import FullRankSignal, LevelSignal, LowRankSignal, StaticSignal

Weights = Dict[str, Tensor]


class StackOutput(NamedTuple):
    """What a stack returns.

    `state` `(batch, length, embed_dim)`; `states`, on request, the input and the state after every level (before the
    final norm); `weights`, for each level asked for, attention weights `(batch, heads, tgt_len, src_len)` under
    ``self_attn`` and ``cross_attn``.
    """

    state: Tensor
    states: Optional[List[Tensor]]
    weights: Dict[int, Weights]


class Stack(nn.Module):
    """N levels of self-attention, (cross-attention,) feed-forward; each with residual and norm.

    Args:
        config: sizes, sharing maps and signals.
        ffn_bank: feed-forward copies that another stack owns, for one feed-forward over encoder and decoder; they are
            used and not registered here, so that a checkpoint holds them once.
        make_dropout: builds a dropout module from a probability and the name of where it stands.
    """

    def __init__(
        self,
        config: StackConfig,
        ffn_bank: Optional[Bank] = None,
        make_dropout: Callable[[float, str], nn.Module] = lambda p, name: nn.Dropout(p),
    ):
        super().__init__()
        self.config = config
        self.levels = config.levels

        def attention(name: str, memory_dim: Optional[int] = None) -> Attention:
            dropout = make_dropout(config.attention_dropout, name)
            return Attention(config.embed_dim, config.num_heads, memory_dim, config.attn_bias, dropout)

        self.self_attn = Bank(lambda: attention("self_attn"), config.self_attn)
        self.cross_attn = None
        if config.cross_attn is not None:
            self.cross_attn = Bank(lambda: attention("cross_attn", config.memory_dim), config.cross_attn)
        self._add_feed_forward(config, ffn_bank, make_dropout)
        self._add_norms(config)
        self.signals = nn.ModuleList(_level_signals(config) for _ in range(self.levels)) if config.adaptive else None
        self.static_signal = StaticSignal(config.embed_dim, self.levels) if config.signal == "static" else None
        self.dropout = make_dropout(config.dropout, "sublayer")
        self.final_norm = nn.LayerNorm(config.embed_dim, eps=config.norm_eps) if config.pre_norm else None

    def _add_feed_forward(self, config: StackConfig, ffn_bank: Optional[Bank], make_dropout) -> None:
        if config.ffn is None or ffn_bank is None:
            self.ffn = None if config.ffn is None else Bank(lambda: self._feed_forward(config, make_dropout), config.ffn)
            return
        if len(ffn_bank) <= max(config.ffn):
            raise ValueError(f"the shared feed-forward has {len(ffn_bank)} copies, this stack asks for {config.ffn}")
        # Set past nn.Module's registration: the owner registers the copies, moves and saves them.
        object.__setattr__(self, "ffn", ffn_bank)

    @staticmethod
    def _feed_forward(config: StackConfig, make_dropout) -> FeedForward:
        dropout = make_dropout(config.activation_dropout, "activation")
        return FeedForward(config.embed_dim, config.ffn_dim, config.ffn_bias, config.activation, dropout)

    def _add_norms(self, config: StackConfig) -> None:
        parts = ["self_attn"] + ["cross_attn"] * (self.cross_attn is not None) + ["ffn"] * (self.ffn is not None)
        # Which bank of norms each sub-layer reads. With one norm per level they all read the same bank, except a
        # feed-forward norm that is shared in its own way.
        self.norm_of = {part: "level" if config.norm_per == "level" else part for part in parts}
        if "ffn" in parts and config.ffn_norm is not None:
            self.norm_of["ffn"] = "ffn"
        self.norms = nn.ModuleDict()
        for bank in dict.fromkeys(self.norm_of.values()):
            sharing = config.ffn_norm if bank == "ffn" and config.ffn_norm is not None else config.norm
            self.norms[bank] = Bank(lambda: nn.LayerNorm(config.embed_dim, eps=config.norm_eps), sharing)

    def forward(
        self,
        x: Tensor,
        padding_mask: Optional[Tensor] = None,
        positions: Optional[Tensor] = None,
        memory: Optional[Tensor] = None,
        memory_padding_mask: Optional[Tensor] = None,
        causal: bool = False,
        cache: Optional[DecoderCache] = None,
        return_states: bool = False,
        need_weights: Container[int] = (),
    ) -> StackOutput:
        """Run every level in turn.

        Args:
            x: embedded input `(batch, length, embed_dim)`.
            padding_mask: true where `x` is padding, `(batch, length)`; None if nothing is.
            positions: integer positions counted from 1 `(batch, length)`; needed by the static signal only.
            memory: what cross-attention reads, `(batch, src_len, memory_dim)`.
            memory_padding_mask: true where `memory` is padding, `(batch, src_len)`.
            causal: each position sees itself and what precedes it.
            cache: keys and values of the steps before; `x` is then the newest step alone, and sees all of them.
            return_states: also return the state after every level.
            need_weights: levels whose attention weights are returned.
        """
        self_mask = attention_mask(x, padding_mask, causal and cache is None)
        memory_mask = None
        if memory is not None:
            memory_mask = attention_mask(memory, memory_padding_mask, causal=False)
        coordinates = None if self.static_signal is None else self.static_signal.positions(positions)
        memories = self._memories(memory, cache)

        states = [x] if return_states else None
        weights: Dict[int, Weights] = {}
        for level in range(self.levels):
            arguments = (level, x, self_mask, memories, memory_mask, coordinates, cache, level in need_weights)
            if self.config.checkpoint_activations and torch.is_grad_enabled():
                # Non-reentrant: the re-entrant form breaks under DistributedDataParallel when levels share weights.
                x, level_weights = checkpoint(self._level, *arguments, use_reentrant=False)
            else:
                x, level_weights = self._level(*arguments)
            if return_states:
                states.append(x)
            if level_weights is not None:
                weights[level] = level_weights
        if cache is not None:
            cache.advance(x.size(1))
        if self.final_norm is not None:
            x = self.final_norm(x)
        return StackOutput(x, states, weights)

    def _level(
        self,
        level: int,
        x: Tensor,
        self_mask: Optional[Tensor],
        memories: List[KeyValue],
        memory_mask: Optional[Tensor],
        coordinates: Optional[Tensor],
        cache: Optional[DecoderCache],
        need_weights: bool,
    ) -> Tuple[Tensor, Optional[Weights]]:
        """One turn of the ring."""
        signals = NO_SIGNALS if self.signals is None else self.signals[level]
        weights: Optional[Weights] = {} if need_weights else None
        if coordinates is not None:
            x = x + coordinates + self.static_signal.step(level)

        def self_attention(state: Tensor) -> Tensor:
            attn = self.self_attn.at(level)
            query, (key, value) = attn.queries(state, signals), attn.keys_values(state, signals)
            if cache is not None:
                key, value = cache.append(level, key, value)
            return _attend(attn, query, key, value, self_mask, weights, "self_attn")

        def cross_attention(state: Tensor) -> Tensor:
            attn = self.cross_attn.at(level)
            key, value = memories[self.cross_attn.sharing[level]]
            return _attend(attn, attn.queries(state), key, value, memory_mask, weights, "cross_attn")

        def feed_forward(state: Tensor) -> Tensor:
            ffn = self.ffn[self.config.ffn[level]]
            return ffn(state, signals["ffn"] if "ffn" in signals else None)

        x = self._sublayer("self_attn", level, x, self_attention)
        if self.cross_attn is not None:
            x = self._sublayer("cross_attn", level, x, cross_attention)
        if self.ffn is not None:
            x = self._sublayer("ffn", level, x, feed_forward)
        return x, weights

    def _sublayer(self, part: str, level: int, x: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        """Residual and norm around one sub-layer; a signal reads what its projection reads."""
        norm = self.norms[self.norm_of[part]].at(level)
        if self.config.pre_norm:
            return x + self.dropout(run(norm(x)))
        return norm(x + self.dropout(run(x)))

    def _memories(self, memory: Optional[Tensor], cache: Optional[DecoderCache]) -> List[KeyValue]:
        """Cross-attention keys and values, once per copy: they depend on the memory alone, not on the level."""
        if self.cross_attn is None:
            return []
        if cache is not None and cache.has_cross:
            return [cache.cross(copy) for copy in range(len(self.cross_attn))]
        memories = [attn.keys_values(memory) for attn in self.cross_attn]
        if cache is not None:
            cache.set_cross(memories)
        return memories


def _attend(
    attn: Attention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Optional[Tensor],
    weights: Optional[Weights],
    part: str,
) -> Tensor:
    out, part_weights = attn.attend(query, key, value, mask, need_weights=weights is not None)
    if weights is not None:
        weights[part] = part_weights
    return out


def _level_signals(config: StackConfig) -> nn.ModuleDict:
    """The signals of one level: at queries, keys and values, and at the feed-forward."""

    def signal(out_dim: int, place: str) -> LevelSignal:
        if config.signal == "full-rank":
            return FullRankSignal(config.embed_dim, out_dim, place)
        return LowRankSignal(config.embed_dim, out_dim, place, config.rank)

    signals = nn.ModuleDict()
    if config.attention_signal != "none":
        for part in ("q", "k", "v"):
            signals[part] = signal(config.embed_dim, config.attention_signal)
    if config.ffn_signal != "none" and config.ffn is not None:
        inter = config.ffn_signal == "inter"
        signals["ffn"] = signal(config.ffn_dim if inter else config.embed_dim, FFN_PLACES[config.ffn_signal])
    return signals


def attention_mask(x: Tensor, padding_mask: Optional[Tensor], causal: bool) -> Optional[Tensor]:
    """Additive mask `(batch or 1, 1, length or 1, length)` over `x` `(batch, length, channels)`; None if all is seen.

    With both kinds, the diagonal stays visible: a padded position that sees nothing would turn into NaN.
    """
    length = x.size(1)
    if padding_mask is None and not causal:
        return None
    hidden = torch.zeros(1, 1, 1, length, dtype=torch.bool, device=x.device)
    if padding_mask is not None:
        hidden = padding_mask[:, None, None, :]
    if causal:
        future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        hidden = (hidden | future) & ~torch.eye(length, dtype=torch.bool, device=x.device)
    return torch.zeros(hidden.shape, dtype=x.dtype, device=x.device).masked_fill(hidden, float("-inf"))
