"""What the level signals of a ring do: their size beside the projections, how alike levels are, effective rank.

Signals M stand at the queries, keys and values (q, k, v) and at the feed-forward's first projection (ffn), beside a
projection W that levels share: after it, ``W x + M x``, they are compared with W x; before it, ``W (x + M x)``, with x.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...modules import Stack
from ...modules.signals import AFTER
from ...modules.weights import StackWeights
from .states import sides, trace

PARTS = {"attn": ("q", "k", "v"), "ffn": ("ffn",)}


class PartReport(NamedTuple):
    """The signals of one part.

    `ratio` by level: root mean square of |M x| over that of what it is compared with, which `against` names. `cosine`
    `(levels, levels)`: between the matrices. `rank` by level: effective rank, the exponential of the entropy of the
    singular values, normalised to sum 1 (Roy and Vetterli 2007). Both are NaN where a matrix is zero. `rank_limit` is
    the most that it can be.
    """

    ratio: list[float]
    against: str
    cosine: list[list[float]]
    rank: list[float]
    rank_limit: int


class Watch:
    """Second moments of what the signals of `stack` read, and of what their projections read, by place and level."""

    def __init__(self, stack: Stack):
        self.stack = stack
        self.present: Tensor | None = None
        self.inputs: dict[str, list[Tensor]] = {}
        self.reads: dict[str, list[Tensor]] = {}
        for place in stack.signals:
            zeros = [torch.zeros((), dtype=torch.float64) for _ in range(stack.levels)]
            self.inputs[place], self.reads[place] = zeros, list(zeros)
        self.rows = 0

    def tell(self, place: str, level: int, x: Tensor, read: Tensor | None) -> None:
        """Count `x` `(batch, length, channels)` that a projection reads, and what its signal reads (None: the same)."""
        x = self._rows(x)
        read = x if read is None else self._rows(read)
        self.inputs[place][level] = self.inputs[place][level] + (x.T @ x).cpu()
        self.reads[place][level] = self.reads[place][level] + (read.T @ read).cpu()
        if level == 0 and place == next(iter(self.inputs)):
            self.rows += len(x)

    def _rows(self, x: Tensor) -> Tensor:
        return (x.flatten(0, 1) if self.present is None else x[self.present]).double()


class _Told:
    """A projection that tells a :class:`Watch` what it reads."""

    def __init__(self, projection: Any, watch: Watch, place: str, level: int):
        self.projection, self.watch, self.place, self.level = projection, watch, place, level

    def __call__(self, x: Tensor, read: Tensor | None = None) -> Tensor:
        self.watch.tell(self.place, self.level, x, read)
        return self.projection(x, read)


class _KeptWatched:
    """Stands for what a stack keeps between passes: its weights, with projections that tell a :class:`Watch`."""

    def __init__(self, watch: Watch):
        self.watch = watch
        self.held: dict[Any, StackWeights] = {}

    def forget(self) -> None:
        self.held.clear()

    def get(self, key: Any, where: Any, compute: Callable[[], StackWeights]) -> StackWeights:
        if key not in self.held:
            self.held[key] = self._watched(compute())
        return self.held[key]

    def _watched(self, weights: StackWeights) -> StackWeights:
        levels = []
        for level, own in enumerate(weights.levels):
            if "attn" in self.watch.inputs:
                qkv = _Told(own.self_attn.qkv, self.watch, "attn", level)
                own = own._replace(self_attn=own.self_attn._replace(qkv=qkv))
            if "ffn" in self.watch.inputs:
                own = own._replace(ffn=own.ffn._replace(fc1=_Told(own.ffn.fc1, self.watch, "ffn", level)))
            levels.append(own)
        return weights._replace(levels=levels)


@contextlib.contextmanager
def _watching(watch: Watch) -> Iterator[None]:
    """Have the passes of a stack, where nothing learns, run through projections that tell `watch`."""
    own, watch.stack.kept = watch.stack.kept, _KeptWatched(watch)
    try:
        yield
    finally:
        watch.stack.kept = own


class SignalReport:
    """Gathers what the signals of a model meet on real data.

    Args:
        model: of this package, with adaptive level signals, in float32 and evaluation mode.

    Attributes:
        watches: by side that has signals; `rows` of each counts its tokens so far.

    Raises:
        ValueError: if it has none, saying why.
    """

    def __init__(self, model: nn.Module):
        stacks = sides(model)
        if not all(isinstance(stack, Stack) for stack in stacks.values()):
            raise ValueError("a stock model has no level signals: take the checkpoint that it was folded from")
        if all(stack.static_signal is not None for stack in stacks.values()):
            raise ValueError(
                "its signals are static (Universal Transformer): fixed coordinates added to the state, nothing learned"
            )
        self.model = model
        self.watches = {side: Watch(stack) for side, stack in stacks.items() if stack.signals}
        if not self.watches:
            raise ValueError("the model has no level signals")

    def add(self, batch: Mapping[str, Tensor]) -> None:
        """Run the model on a batch as :func:`~.states.trace` reads it."""
        masks = {"encoder": batch.get("src_tokens"), "decoder": batch.get("prev_output_tokens")}
        with contextlib.ExitStack() as watching:
            for side, watch in self.watches.items():
                tokens = masks[side]
                watch.present = None if tokens is None else tokens.ne(self.model.encoder.padding_idx)
                watching.enter_context(_watching(watch))
            trace(self.model, batch)

    @torch.no_grad()
    def result(self) -> dict[str, dict[str, PartReport]]:
        """By side and part.

        Raises:
            ValueError: if no batch was added.
        """
        if not all(watch.rows for watch in self.watches.values()):
            raise ValueError("there were no tokens to measure on")
        return {
            side: {
                part: _part_report(watch, place, number)
                for place in watch.stack.signals
                for number, part in enumerate(PARTS[place])
            }
            for side, watch in self.watches.items()
        }


def _part_report(watch: Watch, place: str, number: int) -> PartReport:
    stack = watch.stack
    signals = stack.signals[place]
    matrices = signals.matrix()[:, number].double().cpu()
    after = signals.place == AFTER
    squares = []
    for level, matrix in enumerate(matrices):
        # The sum of |M x|^2 over all x is the trace of M C M', C being their second moment.
        signal = ((matrix @ watch.reads[place][level]) * matrix).sum()
        compared = watch.inputs[place][level]
        if after:
            linear = stack.self_attn.at(level).qkv_proj if place == "attn" else stack.ffn[stack.config.ffn[level]].fc1
            weight = linear.weight.double().cpu().unflatten(0, (signals.parts, -1))[number]
            compared = ((weight @ compared) * weight).sum()
        else:
            compared = compared.trace()
        squares.append(float(signal / compared))
    values = torch.linalg.svdvals(matrices)
    shares = values / values.sum(-1, keepdim=True)
    flat = matrices.flatten(1)
    flat = flat / flat.norm(dim=1, keepdim=True)
    return PartReport(
        ratio=[square**0.5 for square in squares],
        against="W x" if after else "x",
        cosine=(flat @ flat.T).tolist(),
        rank=torch.special.entr(shares).sum(-1).exp().tolist(),
        rank_limit=getattr(signals, "rank", min(matrices.shape[1:])),
    )
