"""The ring: one loop over levels for every architecture (arXiv 2502.13181, section 3).

Architectures differ only in which copy of each part a level uses, and in what tells the levels apart; both are data
(:class:`~.config.StackConfig`). Tensors are batch first, `(batch, length, channels)`.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import UserError
from .attention import attention_mask, split_heads
from .cache import DecoderCache, KeyValue, Memory
from .config import StackConfig
from .kernels import AbsorbedAttention, absorb, is_plain, span
from .level import AttnWeights, Context, Level, run_level
from .parts import CrossAttention, FeedForward, Norm, SelfAttention
from .prepared import Prepared, refuse_touched
from .projection import Projection
from .sharing import PROJECTIONS, Bank
from .signals import DiagonalSignals, FullRankSignals, LevelSignals, LowRankSignals, StaticSignal, SummedSignals
from .weights import Weights, first_touched, folded, folded_by_cost, unfolded

Result = TypeVar("Result")

# Projections of one projection packed into a weight, each with a signal of its own.
PARTS_OF = {"self_attn.qkv_proj": 3, "cross_attn.kv_proj": 2}


def _key(name: str) -> str:
    """What the signals at the projection `name` are called among the modules, where a dot separates levels."""
    return name.replace(".", "_")


class Halting(NamedTuple):
    """How long each position ran, where every position ends its loop by itself (:mod:`.halting`): `steps`, a number of
    levels, and `remainder`, what the last of them was weighed with; both `(batch, length)` in float32.
    """

    steps: Tensor
    remainder: Tensor


class StackOutput(NamedTuple):
    """What a stack returns.

    `state` `(batch, length, embed_dim)`; `states`, on request, the input and the state after every level (before the
    final norm); `attn_weights`, for each level asked for, `(batch, heads, length, keys)` under ``self_attn`` and
    ``cross_attn``; `halting` where positions halt by themselves.
    """

    state: Tensor
    states: list[Tensor] | None
    attn_weights: dict[int, AttnWeights]
    halting: Halting | None = None


class Stack(nn.Module):
    """N levels of self-attention, (cross-attention,) feed-forward; each with residual and norm.

    It computes in the type of its input: with a bfloat16 input, weights stay float32 and are rounded on the way.

    Args:
        config: sizes, sharing maps and signals.
        ffn_bank: feed-forward copies that another stack owns, for one feed-forward over encoder and decoder; they are
            used and not registered here, so that a checkpoint holds them once.
        make_dropout: builds a dropout module from a probability.
        device, dtype: of the weights.

    Raises:
        UserError: for a `config` whose positions halt by themselves (:func:`~.halting.build_stack` makes that stack), and
            for an `ffn_bank` that does not fit it.
    """

    halts = False

    def __init__(
        self,
        config: StackConfig,
        ffn_bank: Bank | None = None,
        make_dropout: Callable[[float], nn.Module] = nn.Dropout,
        device=None,
        dtype=None,
    ):
        super().__init__()
        if config.halting != self.halts:
            kind = "halts by itself" if config.halting else "runs all levels"
            raise UserError(f"a stack whose every position {kind} is no {type(self).__name__}: use build_stack")
        self.config = config
        self.levels = config.levels
        self.checkpoint_activations = config.checkpoint_activations
        self._prepared: Prepared[Weights] | None = None
        factory = {"device": device, "dtype": dtype}
        embed_dim, memory_dim = config.embed_dim, config.memory_dim or config.embed_dim
        ffn_dims = iter(config.ffn_widths or ())

        def self_attention() -> SelfAttention:
            return SelfAttention(embed_dim, config.attn_bias, **factory, init=config.init)

        def cross_attention() -> CrossAttention:
            return CrossAttention(embed_dim, memory_dim, config.attn_bias, **factory, init=config.init)

        def feed_forward() -> FeedForward:
            ffn_dim = next(ffn_dims, config.ffn_dim)
            return FeedForward(embed_dim, ffn_dim, config.ffn_bias, **factory, init=config.init)

        def norm() -> Norm:
            return Norm(embed_dim, eps=config.norm_eps, **factory)

        self.self_attn = Bank(self_attention, config.self_attn)
        self.cross_attn = None if config.cross_attn is None else Bank(cross_attention, config.cross_attn)
        if ffn_bank is None or config.ffn is None:
            self.ffn = None if config.ffn is None else Bank(feed_forward, config.ffn)
        else:
            self._borrow(ffn_bank)
        self._add_norms(norm)
        self.signals = nn.ModuleDict() if config.signals else None
        for name, place in config.signals.items():
            self._add_signals(name, place, factory)
        self.static_signal = None
        if config.adds_positions or config.adds_steps:
            self.static_signal = StaticSignal(embed_dim, self.levels, **factory, coordinates=config.coordinates)
        self.dropouts = nn.ModuleDict(
            {
                "attention": make_dropout(config.attention_dropout),
                "activation": make_dropout(config.activation_dropout),
                "sublayer": make_dropout(config.dropout),
            }
        )
        self.final_norm = norm() if config.pre_norm else None

    # ---- banks

    def _borrow(self, ffn_bank: Bank) -> None:
        if len(ffn_bank) <= max(self.config.ffn):
            raise UserError(
                f"the shared feed-forward has {len(ffn_bank)} copies, this stack asks for {self.config.ffn}"
            )
        widths = tuple(ffn_bank[copy].fc1.out_features for copy in self.config.ffn)
        if widths != self.config.ffn_dims:
            raise UserError(f"the shared feed-forward is {widths} wide, this stack asks for {self.config.ffn_dims}")
        # Set past nn.Module's registration: the owner registers the copies, moves and saves them.
        object.__setattr__(self, "ffn", ffn_bank)

    def _add_norms(self, make: Callable[[], Norm]) -> None:
        config, parts = self.config, self.parts
        # Which bank of norms each sub-layer reads. With one norm per level they all read the same bank, except a
        # feed-forward norm that is shared in its own way.
        self.norm_of = {part: "level" if config.norm_per == "level" else part for part in parts}
        if "ffn" in parts and config.ffn_norm is not None:
            self.norm_of["ffn"] = "ffn"
        self.norms = nn.ModuleDict()
        for bank in dict.fromkeys(self.norm_of.values()):
            follows = bank != "ffn" or config.ffn_norm is None
            self.norms[bank] = Bank(make, config.norm if follows else config.ffn_norm)

    def _add_signals(self, name: str, place: str, factory: dict) -> None:
        """The signals of all levels at the projection `name`."""
        part, projection = name.split(".")
        linear: Projection = getattr(getattr(self, part)[0], projection)
        parts = PARTS_OF.get(name, 1)
        out_dim = linear.out_features // parts if place == "after" else linear.in_features
        sizes = (self.levels, parts, linear.in_features, out_dim, place)
        ranked = partial(LowRankSignals, rank=self.config.rank, init_std=self.config.signal_init_std)
        kinds = {"low-rank": ranked, "full-rank": FullRankSignals, "diagonal": DiagonalSignals}
        terms = [kinds[kind](*sizes, **factory) for kind in self.config.signal.split("+")]
        self.signals[_key(name)] = terms[0] if len(terms) == 1 else SummedSignals(terms)

    @property
    def parts(self) -> list[str]:
        """The parts of a level, in the order in which they run."""
        return [part for part in PROJECTIONS if getattr(self.config, part) is not None]

    def copy_at(self, part: str, level: int) -> nn.Module:
        """The copy of `part` (``self_attn``, ``cross_attn`` or ``ffn``) that `level` uses."""
        # By this stack's map: a borrowed feed-forward's bank has its owner's.
        return getattr(self, part)[getattr(self.config, part)[level]]

    def projections_at(self, name: str) -> list[Projection]:
        """The shared projection `name`, such as ``self_attn.qkv_proj``, that each level uses."""
        part, projection = name.split(".")
        return [getattr(self.copy_at(part, level), projection) for level in range(self.levels)]

    @property
    def projection_names(self) -> list[str]:
        """Every projection of a level, such as ``self_attn.qkv_proj``."""
        return [f"{part}.{projection}" for part in self.parts for projection in PROJECTIONS[part]]

    def signals_at(self, name: str) -> LevelSignals | None:
        """The signals of all levels at the projection `name`; None if it has none."""
        return self.signals[_key(name)] if name in self.config.signals else None

    def named_banks(self) -> Iterator[tuple[str, Bank]]:
        """Every bank of copies that this stack owns, with its name."""
        return ((name, module) for name, module in self.named_modules() if isinstance(module, Bank))

    def truncate(self, levels: int) -> None:
        """Keep the first `levels` levels, and of the copies and signals those that they use."""
        self.unprepare()
        self.config, self.levels = self.config.first(levels), levels
        for _, bank in self.named_banks():
            bank.truncate(levels)
        for name in self.config.signals:
            self.signals_at(name).truncate(levels)

    # ---- the loop

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
            positions: integer positions counted from 1 `(batch, length)`, where every level adds them; None if nothing is
                padded on the left: 1 to `length`, or with `cache` the number of the step.
            memory: what cross-attention reads, `(batch, src_len, memory_dim)`. Not needed once it is in `cache`.
            memory_padding_mask: true where `memory` is padding, `(batch, src_len)`.
            causal: each position sees itself and what precedes it.
            cache: keys and values of the steps before; `x` is then the newest step alone, of every beam of a sentence,
                `(sentences, beams, embed_dim)`, and sees all that its beam has come from.
            return_states: also return the state after every level.
            need_weights: levels whose attention weights are returned.
            stop: how many levels to run; None: all.
        """
        weights = self.weights_for(x, cache)
        if cache is None:
            mask, only_causal = attention_mask(x, padding_mask, causal), causal and padding_mask is None
            reads = self._memory(weights, memory, memory_padding_mask)
        else:
            mask, only_causal = cache.step_mask(x), False
            if cache.length == 0:
                cache.memory = self._memory(weights, memory, memory_padding_mask, absorbs=not torch.is_grad_enabled())
            reads = cache.memory
        coordinates = self._coordinates(x, positions, cache)
        context = Context(self.config, mask, only_causal, reads, coordinates, cache, need_weights, self.dropouts)
        output = self._loop(x, weights.levels[:stop], context, padding_mask, return_states)
        if cache is not None:
            cache.advance()
        if weights.final_norm is not None:
            output = output._replace(state=weights.final_norm(output.state))
        return output

    def _loop(
        self, x: Tensor, levels: Sequence[Level], context: Context, padding_mask: Tensor | None, return_states: bool
    ) -> StackOutput:
        """The ring itself: every level reads the state that the one before it has left."""
        states = [x] if return_states else None
        attn_weights: dict[int, AttnWeights] = {}
        for level in levels:
            x, of_level = self._run(x, level, context)
            if return_states:
                states.append(x)
            if of_level is not None:
                attn_weights[level.number] = of_level
        return StackOutput(x, states, attn_weights)

    def _run(self, x: Tensor, level: Level, context: Context) -> tuple[Tensor, AttnWeights | None]:
        """:func:`~.level.run_level`; with `checkpoint_activations` it runs once more in the backward pass."""
        if self.checkpoint_activations and torch.is_grad_enabled():
            # Non-reentrant: the re-entrant form breaks under DistributedDataParallel when levels share weights.
            return checkpoint(run_level, x, level, context, use_reentrant=False)
        return run_level(x, level, context)

    def _coordinates(self, x: Tensor, positions: Tensor | None, cache: DecoderCache | None) -> Tensor | None:
        """The position part of a static signal `(batch, length, embed_dim)`, where every level adds it."""
        if not self.config.adds_positions:
            return None
        if positions is None and cache is not None:
            positions = torch.full(x.shape[:2], cache.length + 1, device=x.device)
        signal = self.static_signal
        return (signal.first(x.size(1)) if positions is None else signal.positions(positions)).to(x.dtype)

    def _memory(
        self, weights: Weights, memory: Tensor | None, padding_mask: Tensor | None, absorbs: bool = False
    ) -> Memory | None:
        """What cross-attention reads at every level; with `absorbs`, see :func:`~.kernels.absorb`."""
        if self.cross_attn is None:
            return None
        project = [level.projections for level in weights.levels]

        def keys_values(level: int) -> KeyValue:
            key, value = split_heads(project[level]["cross_attn.kv_proj"](memory), 2, self.config.num_heads).unbind()
            return key, value

        def absorbed(level: int) -> AbsorbedAttention | None:
            q_proj, out_proj = project[level]["cross_attn.q_proj"], project[level]["cross_attn.out_proj"]
            return absorb(q_proj, out_proj, *pairs[level], self.dropouts["attention"])

        with span("keys_values"):
            pairs = self._once(keys_values, "kv_proj")
        quicker = self._once(absorbed, "q_proj", "kv_proj", "out_proj") if absorbs else [None] * self.levels
        return Memory(pairs, attention_mask(memory, padding_mask, causal=False), quicker)

    def _once(self, compute: Callable[[int], Result], *names: str) -> list[Result]:
        """What `compute` makes of each level, once for levels whose cross-attention has the same projections `names`.

        It reads no state, so only a signal at one of them tells levels that share a copy apart.
        """
        copies: Sequence[int] = self.config.cross_attn
        if any(f"cross_attn.{name}" in self.config.signals for name in names):
            copies = tuple(range(self.levels))
        first = [copies.index(copy) for copy in copies]
        results = {level: compute(level) for level in dict.fromkeys(first)}
        return [results[level] for level in first]

    # ---- weights

    def weights_for(self, x: Tensor, cache: DecoderCache | None = None) -> Weights:
        """What the levels compute with in a pass over `x`.

        Where nothing learns: prepared weights, if the stack was told that its own are final (:meth:`reparameterize`);
        in a search, weights folded at its first step for all that follow. Else made for this pass.
        """
        if is_plain(x):
            return unfolded(self)
        if torch.is_grad_enabled():
            return folded_by_cost(self, x)
        if cache is None:
            return self._final_weights(x.dtype) or folded_by_cost(self, x)
        if cache.weights is None:
            cache.weights = self._final_weights(x.dtype) or folded(self, x.dtype, tokens=x.size(0) * x.size(1))
        return cache.weights

    def reparameterize(self) -> None:
        """The weights are final: fold signals and lay weights out once, for the passes that follow without gradients.

        This ends with ``train()``, loading, moving, and any other change of a parameter.

        Raises:
            UserError: if modules have hooks, adapters or prunings, which folding would leave out.
        """
        self.unprepare()
        touched = first_touched(self)
        if touched:
            refuse_touched(touched)
        borrowed = [] if self.ffn is None or "ffn" in self._modules else [self.ffn]
        self._prepared = Prepared([self, *borrowed], partial(folded, self, lay_out=True))

    def unprepare(self) -> None:
        """Compute from the parameters again."""
        if self._prepared is not None:
            self._prepared.end()
        self._prepared = None

    def _final_weights(self, dtype: torch.dtype) -> Weights | None:
        """Prepared weights; None if there are none, or if something has changed since."""
        weights = None if self._prepared is None else self._prepared.get(dtype)
        if weights is None:
            self.unprepare()
        return weights

    def train(self, mode: bool = True) -> "Stack":
        if mode or self.training:  # drop_path is of one mode
            self.unprepare()
        return super().train(mode)
