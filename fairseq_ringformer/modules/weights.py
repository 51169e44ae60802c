"""What the levels of a stack compute with in a pass: the modules themselves, or their weights with the signals folded in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .kernels import FoldedNorm, fold_for_inference, fold_weights, folding_pays, folding_pays_a_search, is_touched, span
from .level import Level
from .parts import Norm
from .projection import NormalisingProjection, Projection
from .sharing import PROJECTIONS

if TYPE_CHECKING:
    from .stack import Stack

Project = Callable[..., Tensor]


class Weights(NamedTuple):
    """The levels, and the norm behind the last one."""

    levels: list[Level]
    final_norm: Callable[[Tensor], Tensor] | None


def unfolded(stack: Stack) -> Weights:
    """The plain form: modules are called, with the signal of each level; eq. 6 and 7 as :mod:`.projection` states them."""
    return _bind(stack, partial(_unfolded, stack))


def folded_by_cost(stack: Stack, x: Tensor) -> Weights:
    """Signals are folded where that costs less for the tokens of `x`, and nothing is in the way; for this pass alone."""

    def project(name: str) -> list[Project]:
        signals, projections = stack.signals_at(name), stack.projections_at(name)
        tokens = x.numel() // x.size(-1)
        if signals is None or not _folds(stack, name) or not folding_pays(signals, projections[0], tokens):
            return _unfolded(stack, name)
        with span("signals"):
            return fold_weights(projections, signals, x.dtype)

    return _bind(stack, project)


def folded(stack: Stack, dtype: torch.dtype, lay_out: bool = False, tokens: int | None = None) -> Weights:
    """For passes in `dtype` where nothing learns: everything that folds is folded.

    Args:
        lay_out: also lay weights out for products with few rows, which costs a copy.
        tokens: of a step of a search, to ask whether folding pays; None for passes without end.
    """

    def project(name: str) -> list[Project]:
        signals, projections = stack.signals_at(name), stack.projections_at(name)
        pays = signals is None or tokens is None or folding_pays_a_search(signals, projections[0], tokens)
        if not (pays and _folds(stack, name)):
            return _unfolded(stack, name)
        return fold_for_inference(projections, signals, dtype, lay_out)

    def norm(module: Norm) -> Callable[[Tensor], Tensor]:
        if is_touched(module, Norm):
            return module
        return FoldedNorm(module.weight.detach().to(dtype), module.bias.detach().to(dtype), module.eps)

    with span("signals"):
        return _bind(stack, project, norm)


def first_touched(stack: Stack) -> str | None:
    """A projection of `stack` that does more than its class says (hooks, adapters, pruning); None if there is none."""
    return next((name for name in stack.projection_names if _is_touched(stack, name)), None)


def _unfolded(stack: Stack, name: str) -> list[Project]:
    signals, projections = stack.signals_at(name), stack.projections_at(name)
    if signals is None:
        return list(projections)
    return [partial(projection, signal=signals.at(level)) for level, projection in enumerate(projections)]


def _normalising(stack: Stack, name: str, projections: list[Project], norms: list[Callable]) -> list[Project]:
    """`projections`, each with the norm in front of it, and the signals at `name` in front of the norm."""
    signals = stack.signals_at(name)
    if signals is None:
        return [NormalisingProjection(projection, None, norm) for projection, norm in zip(projections, norms)]
    return [
        NormalisingProjection(projection, signals.at(level), norm)
        for level, (projection, norm) in enumerate(zip(stack.projections_at(name), norms))
    ]


def _folds(stack: Stack, name: str) -> bool:
    """Whether the projection `name` can be read as a weight: not where it is to be called, or M reads another state."""
    reads_state = stack.config.signal_input == "state" and stack.signals_at(name) is not None
    return not reads_state and not _is_touched(stack, name)


def _is_touched(stack: Stack, name: str) -> bool:
    signals = stack.signals_at(name)
    if signals is not None and any(is_touched(module, type(module)) for module in signals.modules()):
        return True
    return any(is_touched(projection, Projection) for projection in dict.fromkeys(stack.projections_at(name)))


def _bind(stack: Stack, project: Callable[[str], list[Project]], norm: Callable = lambda module: module) -> Weights:
    """Weights whose projections, by name for all levels, are those of `project`, and whose norms those of `norm`."""
    projections = {name: project(name) for name in stack.projection_names}
    norms = [
        {part: norm(stack.norms[bank].at(level)) for part, bank in stack.norm_of.items()}
        for level in range(stack.levels)
    ]
    if stack.config.signal_input == "state":
        for part in stack.parts:
            first = f"{part}.{PROJECTIONS[part][0]}"
            projections[first] = _normalising(stack, first, projections[first], [of_level[part] for of_level in norms])
    levels = [
        Level(
            level,
            {name: of_level[level] for name, of_level in projections.items()},
            norms[level],
            stack.static_signal.step(level) if stack.config.adds_steps else None,
            stack.config.drop_path * level / (stack.levels - 1) if stack.training and stack.levels > 1 else 0.0,
        )
        for level in range(stack.levels)
    ]
    return Weights(levels, None if stack.final_norm is None else norm(stack.final_norm))
