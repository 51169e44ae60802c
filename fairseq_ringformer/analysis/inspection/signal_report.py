"""What the level signals of a ring do: their size beside the projections, how alike levels are, effective rank.

Signals M stand beside projections W that levels share, in the paper's ring at the queries, keys and values (q, k, v) and
at the feed-forward's first projection (ffn): after it, ``W x + M x``, they are compared with W x; before it,
``W (x + M x)``, with x.
"""

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...errors import UserError
from ...modules import Stack
from ...modules.sharing import AFTER
from .states import sides, trace

# What is packed in a projection; others are called by their name.
PARTS = {
    "self_attn.qkv_proj": ("q", "k", "v"),
    "cross_attn.kv_proj": ("cross_attn k", "cross_attn v"),
    "ffn.fc1": ("ffn",),
}


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
    """Second moments of what the signals of `stack` read, and of what their projections read, by projection and level.

    Attributes:
        present: true where a token is none of padding, for the states of the stack and for the memory that it reads.
        rows: tokens of the states so far.
    """

    def __init__(self, stack: Stack):
        self.stack = stack
        self.present: Tensor | None = None
        self.memory_present: Tensor | None = None
        zero = torch.zeros((), dtype=torch.float64)
        self.read = {name: [zero] * stack.levels for name in stack.config.signals}
        # The same, unless signals stand beside a projection that reads the normalised state.
        apart = stack.config.signal_input == "state"
        self.projected = {
            name: [zero] * stack.levels if apart and stack.signals_at(name).place == AFTER else self.read[name]
            for name in self.read
        }
        self.rows = self.level = 0
        # Keys and values are those of the other side's tokens.
        self.counted = min(self.read, key="cross_attn.kv_proj".__eq__)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While this lasts, signals tell what they read, and their projections where that is something else."""
        with contextlib.ExitStack() as handles:
            for name, read in self.read.items():
                signals = self.stack.signals_at(name)
                handles.enter_context(signals.register_forward_pre_hook(partial(self._tell, name)))
                if self.projected[name] is not read:
                    for projection in dict.fromkeys(self.stack.projections_at(name)):
                        handles.enter_context(projection.register_forward_pre_hook(partial(self._tell_projected, name)))
            yield

    def _tell(self, name: str, signals: nn.Module, args: tuple[Tensor, int]) -> None:
        x, self.level = self._rows(name, args[0]), args[1]
        self.read[name][self.level] = self.read[name][self.level] + (x.T @ x).cpu()
        if self.level == 0 and name == self.counted:
            self.rows += len(x)

    def _tell_projected(self, name: str, projection: nn.Module, args: tuple[Tensor]) -> None:
        x = self._rows(name, args[0])  # of the level whose signal was called before it
        self.projected[name][self.level] = self.projected[name][self.level] + (x.T @ x).cpu()

    def _rows(self, name: str, x: Tensor) -> Tensor:
        present = self.memory_present if name == "cross_attn.kv_proj" else self.present
        return (x.flatten(0, 1) if present is None else x[present]).double()


class SignalReport:
    """Gathers what the signals of a model meet on real data.

    Args:
        model: of this package, with adaptive level signals, in float32 and evaluation mode.

    Attributes:
        watches: by side that has signals; `rows` of each counts its tokens so far.

    Raises:
        UserError: if it has none, saying why.
    """

    def __init__(self, model: nn.Module):
        stacks = sides(model)
        if not all(isinstance(stack, Stack) for stack in stacks.values()):
            raise UserError("a stock model has no level signals: take the checkpoint that it was folded from")
        if all(stack.config.adds_steps for stack in stacks.values()):
            raise UserError(
                "its signals are static (Universal Transformer): fixed coordinates added to the state, nothing learned"
            )
        self.model = model
        self.watches = {side: Watch(stack) for side, stack in stacks.items() if stack.signals}
        if not self.watches:
            raise UserError("the model has no level signals")

    def add(self, batch: Mapping[str, Tensor]) -> None:
        """Run the model on a batch as :func:`~.states.trace` reads it."""
        tokens = {"encoder": batch.get("src_tokens"), "decoder": batch.get("prev_output_tokens")}
        present = {
            side: None if own is None else own.ne(self.model.encoder.padding_idx) for side, own in tokens.items()
        }
        with contextlib.ExitStack() as watching:
            for side, watch in self.watches.items():
                watch.present, watch.memory_present = present[side], present["encoder"]
                watching.enter_context(watch.watching())
            trace(self.model, batch)

    @torch.no_grad()
    def result(self) -> dict[str, dict[str, PartReport]]:
        """By side and part.

        Raises:
            UserError: if no batch was added.
        """
        if not all(watch.rows for watch in self.watches.values()):
            raise UserError("there were no tokens to measure on")
        return {
            side: {
                part: _part_report(watch, name, number)
                for name in watch.stack.config.signals
                for number, part in enumerate(PARTS.get(name, (name,)))
            }
            for side, watch in self.watches.items()
        }


def _part_report(watch: Watch, name: str, number: int) -> PartReport:
    stack = watch.stack
    signals = stack.signals_at(name)
    matrices = signals.matrix()[:, number].double().cpu()
    after = signals.place == AFTER
    squares = []
    for level, (matrix, projection) in enumerate(zip(matrices, stack.projections_at(name))):
        # The sum of |M x|^2 over all x is the trace of M C M', C being their second moment.
        signal = ((matrix @ watch.read[name][level]) * matrix).sum()
        compared = watch.projected[name][level]
        if after:
            weight = projection.weight.double().cpu().unflatten(0, (signals.parts, -1))[number]
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
