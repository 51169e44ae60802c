"""What the level signals of a ring do: their size beside the projections, how alike levels are, effective rank.

Signals M stand beside projections W that levels share, in the paper's ring at the queries, keys and values (q, k, v) and
at the feed-forward's first projection (ffn): after it, ``W x + M x``, they are compared with W x; before it,
``W (x + M x)``, with x.
"""

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

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
        self.projected: dict[str, list[Tensor]] = {}
        self.read: dict[str, list[Tensor]] = {}
        for name in stack.config.signals:
            zeros = [torch.zeros((), dtype=torch.float64) for _ in range(stack.levels)]
            self.projected[name], self.read[name] = zeros, list(zeros)
        self.rows = 0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While this lasts, the projections at which signals stand tell what they read."""
        with contextlib.ExitStack() as handles:
            for name in self.projected:
                for projection in dict.fromkeys(self.stack.projections_at(name)):
                    hook = partial(self._tell, name)
                    handles.enter_context(projection.register_forward_pre_hook(hook, with_kwargs=True))
            yield

    def _tell(self, name: str, projection: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        present = self.memory_present if name == "cross_attn.kv_proj" else self.present
        x, level = _rows(args[0], present), kwargs["signal"].level
        read = x if kwargs.get("read") is None else _rows(kwargs["read"], present)
        self.projected[name][level] = self.projected[name][level] + (x.T @ x).cpu()
        self.read[name][level] = self.read[name][level] + (read.T @ read).cpu()
        if level == 0 and name == next(iter(self.projected)):
            self.rows += len(x)


def _rows(x: Tensor, present: Tensor | None) -> Tensor:
    return (x.flatten(0, 1) if present is None else x[present]).double()


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
            ValueError: if no batch was added.
        """
        if not all(watch.rows for watch in self.watches.values()):
            raise ValueError("there were no tokens to measure on")
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
