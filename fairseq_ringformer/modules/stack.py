"""The ring: one loop over levels for every architecture (arXiv 2502.13181, section 3).

Architectures differ only in which copy of each part a level uses, and in what tells the levels apart; both are data
(:class:`~.config.StackConfig`). Tensors are batch first, `(batch, length, channels)`.
"""

from collections.abc import Callable, Container, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention import (
    CrossAttention,
    SelfAttention,
    absorb,
    attend,
    attention_mask,
    causal_mask,
    merge_heads,
    split_heads,
)
from .cache import DecoderCache, Memory
from .config import FFN_PLACES, StackConfig
from .dropout import add_dropped, drop_path, drop_probability
from .feed_forward import FeedForward
from .sharing import Bank
from .signals import FullRankSignals, LevelSignals, LowRankSignals, StaticSignal
from .weights import Keeps, LevelWeights, StackWeights, weights_for

Weights = dict[str, Tensor]


class StackOutput(NamedTuple):
    """What a stack returns.

    `state` `(batch, length, embed_dim)`; `states`, on request, the input and the state after every level (before the
    final norm); `weights`, for each level asked for, attention weights `(batch, heads, tgt_len, src_len)` under
    ``self_attn`` and ``cross_attn``.
    """

    state: Tensor
    states: list[Tensor] | None
    weights: dict[int, Weights]


class Context(NamedTuple):
    """What is the same for every level of a pass.

    `self_mask` is additive; `causal` says that it hides the future and nothing else. `coordinates` are the position part
    of a static signal; `drop` is the probability of dropping elements of a sub-layer's output.
    """

    self_mask: Tensor | None
    causal: bool
    memory: Memory | None
    coordinates: Tensor | None
    cache: DecoderCache | None
    drop: float


class Stack(Keeps):
    """N levels of self-attention, (cross-attention,) feed-forward; each with residual and norm.

    It computes in the type of its input: with a bfloat16 input, weights stay float32 and are rounded on the way.

    Args:
        config: sizes, sharing maps and signals.
        ffn_bank: feed-forward copies that another stack owns, for one feed-forward over encoder and decoder; they are
            used and not registered here, so that a checkpoint holds them once.
        make_dropout: builds a dropout module from a probability and the name of where it stands.
        device, dtype: of the weights.
    """

    def __init__(
        self,
        config: StackConfig,
        ffn_bank: Bank | None = None,
        make_dropout: Callable[[float, str], nn.Module] = lambda p, name: nn.Dropout(p),
        device=None,
        dtype=None,
    ):
        super().__init__()
        self.config = config
        self.levels = config.levels
        self.checkpoint_activations = config.checkpoint_activations
        factory = {"device": device, "dtype": dtype}

        def self_attention() -> SelfAttention:
            dropout = make_dropout(config.attention_dropout, "self_attn")
            return SelfAttention(config.embed_dim, config.attn_bias, dropout, **factory)

        def cross_attention() -> CrossAttention:
            dropout = make_dropout(config.attention_dropout, "cross_attn")
            memory_dim = config.memory_dim or config.embed_dim
            return CrossAttention(config.embed_dim, memory_dim, config.attn_bias, dropout, **factory)

        def norm() -> nn.LayerNorm:
            return nn.LayerNorm(config.embed_dim, eps=config.norm_eps, **factory)

        self.self_attn = Bank(self_attention, config.self_attn)
        self.cross_attn = None if config.cross_attn is None else Bank(cross_attention, config.cross_attn)
        self._add_feed_forward(config, ffn_bank, make_dropout, factory)
        self._add_norms(config, norm)
        self.signals = _level_signals(config, factory) if config.adaptive else None
        static = config.signal == "static"
        self.static_signal = StaticSignal(config.embed_dim, self.levels, device=device) if static else None
        self.dropout = make_dropout(config.dropout, "sublayer")
        self.final_norm = norm() if config.pre_norm else None

    def _add_feed_forward(self, config: StackConfig, ffn_bank: Bank | None, make_dropout, factory) -> None:
        def feed_forward() -> FeedForward:
            dropout = make_dropout(config.activation_dropout, "activation")
            return FeedForward(config.embed_dim, config.ffn_dim, config.ffn_bias, dropout, **factory)

        if config.ffn is None or ffn_bank is None:
            self.ffn = None if config.ffn is None else Bank(feed_forward, config.ffn)
            return
        if len(ffn_bank) <= max(config.ffn):
            raise ValueError(f"the shared feed-forward has {len(ffn_bank)} copies, this stack asks for {config.ffn}")
        # Set past nn.Module's registration: the owner registers the copies, moves and saves them.
        object.__setattr__(self, "ffn", ffn_bank)

    def _add_norms(self, config: StackConfig, make: Callable[[], nn.LayerNorm]) -> None:
        parts = ["self_attn"] + ["cross_attn"] * (self.cross_attn is not None) + ["ffn"] * (self.ffn is not None)
        # Which bank of norms each sub-layer reads. With one norm per level they all read the same bank, except a
        # feed-forward norm that is shared in its own way.
        self.norm_of = {part: "level" if config.norm_per == "level" else part for part in parts}
        if "ffn" in parts and config.ffn_norm is not None:
            self.norm_of["ffn"] = "ffn"
        self.norms = nn.ModuleDict()
        for bank in dict.fromkeys(self.norm_of.values()):
            sharing = config.ffn_norm if bank == "ffn" and config.ffn_norm is not None else config.norm
            self.norms[bank] = Bank(make, sharing)

    def named_banks(self) -> Iterator[tuple[str, Bank]]:
        """Every bank of copies that this stack owns, with its name."""
        return ((name, module) for name, module in self.named_modules() if isinstance(module, Bank))

    def truncate(self, levels: int) -> None:
        """Keep the first `levels` levels, and of the copies and signals those that they use."""
        self.config, self.levels = self.config.first(levels), levels
        for _, bank in self.named_banks():
            bank.truncate(levels)
        for signals in () if self.signals is None else self.signals.values():
            signals.truncate(levels)
        self.kept.forget()

    def forward(
        self,
        x: Tensor,
        padding_mask: Tensor | None = None,
        positions: Tensor | None = None,
        memory: Tensor | None = None,
        memory_padding_mask: Tensor | None = None,
        causal: bool = False,
        cache: DecoderCache | None = None,
        return_states: bool = False,
        need_weights: Container[int] = (),
        stop: int | None = None,
    ) -> StackOutput:
        """Run every level in turn.

        Args:
            x: embedded input `(batch, length, embed_dim)`.
            padding_mask: true where `x` is padding, `(batch, length)`; None if nothing is.
            positions: integer positions counted from 1 `(batch, length)`, for the static signal; None if they are 1 to
                `length` in every row.
            memory: what cross-attention reads, `(sentences, src_len, memory_dim)`; each sentence is read by as many
                consecutive rows of `x`. Not needed once it is in `cache`.
            memory_padding_mask: true where `memory` is padding, `(sentences, src_len)`.
            causal: each position sees itself and what precedes it.
            cache: keys and values of the steps before; `x` is then the newest step alone, and sees all of them.
            return_states: also return the state after every level.
            need_weights: levels whose attention weights are returned.
            stop: how many levels to run; None: all.
        """
        shape = x.shape
        prepared = weights_for(self, x, self.kept)
        held = None
        if cache is None or not cache.length:
            held = self._memory(prepared, memory, memory_padding_mask, step_by_step=cache is not None)
        if cache is not None:
            # The beams of a sentence run side by side, like positions: they read the same memory and pool.
            cache.enter(len(x), held)
            x = x.view(cache.sentences, cache.beams, -1)
        context = self._context(x, padding_mask, positions, causal, held, cache)

        states = [x] if return_states else None
        weights: dict[int, Weights] = {}
        for level in range(self.levels if stop is None else stop):
            arguments = (level, prepared.levels[level], x, context, level in need_weights)
            if self.checkpoint_activations and torch.is_grad_enabled():
                # Non-reentrant: the re-entrant form breaks under DistributedDataParallel when levels share weights.
                x, level_weights = checkpoint(self._level, *arguments, use_reentrant=False)
            else:
                x, level_weights = self._level(*arguments)
            if return_states:
                states.append(x)
            if level_weights is not None:
                weights[level] = {part: _of_rows(part_weights, shape) for part, part_weights in level_weights.items()}
        if cache is not None:
            cache.advance()
        if prepared.final_norm is not None:
            x = prepared.final_norm(x)
        states = None if states is None else [state.view(shape) for state in states]
        return StackOutput(x.view(shape), states, weights)

    def _context(
        self,
        x: Tensor,
        padding_mask: Tensor | None,
        positions: Tensor | None,
        causal: bool,
        memory: Memory | None,
        cache: DecoderCache | None,
    ) -> Context:
        """What all levels share in a pass over `x`, or in a step of `cache`."""
        coordinates = None
        if self.static_signal is not None:
            if positions is None:
                coordinates = self.static_signal.first(x.size(1)).to(x.dtype)
            else:
                coordinates = self.static_signal.positions(positions).to(x.dtype).view_as(x)
        drop = drop_probability(self.dropout)
        if cache is not None:
            return Context(cache.step_mask(x), False, cache.memory, coordinates, cache, drop)
        only_causal = causal and padding_mask is None
        mask = causal_mask(x.size(1), x) if only_causal else attention_mask(x, padding_mask, causal)
        return Context(mask, only_causal, memory, coordinates, None, drop)

    def _level(
        self, level: int, own: LevelWeights, x: Tensor, context: Context, need_weights: bool
    ) -> tuple[Tensor, Weights | None]:
        """One turn of the ring, with the weights that are `own` to the level or shared."""
        weights: Weights | None = {} if need_weights else None
        if context.coordinates is not None:
            x = x + context.coordinates + self.static_signal.step(level).to(x.dtype)

        skip = self._skip_probability(level)

        def sublayer(part: str, run: Callable[[Tensor, Tensor | None], Tensor], x: Tensor) -> Tensor:
            """Residual and norm around `run`; a signal reads what its projection reads, unless told otherwise."""
            norm = own.norms[part]
            read = x if self.config.signal_input == "state" else None
            if self.config.pre_norm:
                return add_dropped(x, drop_path(run(norm(x), read), skip), context.drop)
            return norm(add_dropped(x, drop_path(run(x, read), skip), context.drop))

        x = sublayer("self_attn", lambda *state: self._self_attention(level, own, *state, context, weights), x)
        if own.cross_attn is not None:
            x = sublayer("cross_attn", lambda state, _: self._cross_attention(level, own, state, context, weights), x)
        if own.ffn is not None:
            x = sublayer("ffn", own.ffn, x)
        return x, weights

    def _skip_probability(self, level: int) -> float:
        if not self.training or self.levels == 1:
            return 0.0
        return self.config.drop_path * level / (self.levels - 1)

    def _self_attention(
        self, level: int, own: LevelWeights, x: Tensor, read: Tensor | None, context: Context, weights: Weights | None
    ) -> Tensor:
        attn = own.self_attn
        heads = split_heads(attn.qkv(x, read), 3, self.config.num_heads)
        if context.cache is None:
            query, key, value = heads.unbind(0)
        else:
            query, (key, value) = heads[0], context.cache.append(level, heads[1:])
        out, own_weights = attend(
            query, key, value, context.self_mask, context.causal, attn.dropout, need_weights=weights is not None
        )
        if weights is not None:
            weights["self_attn"] = own_weights
        return attn.out(merge_heads(out))

    def _cross_attention(
        self, level: int, own: LevelWeights, x: Tensor, context: Context, weights: Weights | None
    ) -> Tensor:
        attn, copy = own.cross_attn, self.cross_attn.sharing[level]
        key, value = context.memory.keys_values[copy]
        # Rows that read the same sentence are as many more positions.
        rows = x.view(len(key), -1, x.size(-1))
        absorbed = context.memory.absorbed[copy]
        if absorbed is not None:
            out, own_weights = absorbed(rows, context.memory.mask)
            if weights is not None:
                weights["cross_attn"] = own_weights
            return out.view_as(x)
        query = split_heads(attn.q(rows), 1, self.config.num_heads)[0]
        out, own_weights = attend(
            query, key, value, context.memory.mask, dropout=attn.dropout, need_weights=weights is not None
        )
        if weights is not None:
            weights["cross_attn"] = own_weights
        return attn.out(merge_heads(out)).view_as(x)

    def _memory(
        self, prepared: StackWeights, memory: Tensor | None, padding_mask: Tensor | None, step_by_step: bool
    ) -> Memory | None:
        """Cross-attention keys and values, once per copy: they depend on the memory alone, not on the level."""
        if self.cross_attn is None:
            return None
        heads = self.config.num_heads
        keys_values = [split_heads(project(memory), 2, heads).unbind(0) for project in prepared.memories]
        absorbed = [None] * len(keys_values)
        if step_by_step and not torch.is_grad_enabled():
            first_user = [self.cross_attn.sharing.index(copy) for copy in range(len(keys_values))]
            absorbed = [
                absorb(prepared.levels[level].cross_attn, *pair) for level, pair in zip(first_user, keys_values)
            ]
        return Memory(keys_values, attention_mask(memory, padding_mask, causal=False), absorbed)


def _of_rows(weights: Tensor, shape: torch.Size) -> Tensor:
    """Attention weights `(sentences, heads, rows * tgt_len, src_len)` by row, `(batch, heads, tgt_len, src_len)`."""
    batch, length, _ = shape
    sentences, heads, _, src_len = weights.shape
    by_row = weights.view(sentences, heads, batch // sentences, length, src_len).transpose(1, 2)
    return by_row.reshape(batch, heads, length, src_len)


def _level_signals(config: StackConfig, factory: dict) -> nn.ModuleDict:
    """The signals of all levels: at the packed queries, keys and values, and at the feed-forward."""

    def signals(parts: int, out_dim: int, place: str) -> LevelSignals:
        if config.signal == "full-rank":
            return FullRankSignals(config.levels, parts, config.embed_dim, out_dim, place, **factory)
        return LowRankSignals(config.levels, parts, config.embed_dim, out_dim, place, config.rank, **factory)

    banks = nn.ModuleDict()
    if config.attention_signal != "none":
        banks["attn"] = signals(3, config.embed_dim, config.attention_signal)
    if config.ffn_signal != "none" and config.ffn is not None:
        inter = config.ffn_signal == "inter"
        banks["ffn"] = signals(1, config.ffn_dim if inter else config.embed_dim, FFN_PLACES[config.ffn_signal])
    return banks
