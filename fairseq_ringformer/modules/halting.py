"""Adaptive halting (Universal Transformers, arXiv 1807.03819, section 2.2): every position ends its loop by itself.

A halting unit reads the state that enters a level and says with which probability the position stops there. Once the
probabilities of a position exceed :data:`THRESHOLD`, it has halted: its state stays, for others to attend to, and what
the stack returns of it is the interpolation of its states by their probabilities. The loop ends when all have halted,
or after N levels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .config import StackConfig
from .level import Context, Level, cache_keys_values, with_coordinates
from .stack import Halting, Stack, StackOutput

THRESHOLD = 0.99
BIAS = 1.0  # of the halting unit at the start: positions halt early until they learn to go on


def build_stack(config: StackConfig, **options: Any) -> Stack:
    """The stack that `config` asks for; `options` as of :class:`.Stack`."""
    return (HaltingStack if config.halting else Stack)(config, **options)


class HaltingStack(Stack):
    """A stack whose positions run at most N levels, each as many as it needs. Arguments as of :class:`.Stack`."""

    halts = True

    def __init__(self, config: StackConfig, *, device=None, dtype=None, **options: Any):
        super().__init__(config, device=device, dtype=dtype, **options)
        self.halting_unit = nn.Linear(config.embed_dim, 1, device=device, dtype=dtype)
        nn.init.xavier_uniform_(self.halting_unit.weight)
        nn.init.constant_(self.halting_unit.bias, BIAS)

    def _loop(
        self, x: Tensor, levels: Sequence[Level], context: Context, padding_mask: Tensor | None, return_states: bool
    ) -> StackOutput:
        running = x.new_ones(x.shape[:2], dtype=torch.bool) if padding_mask is None else ~padding_mask
        probability = x.new_zeros(x.shape[:2], dtype=torch.float32)
        steps, remainder = torch.zeros_like(probability), torch.zeros_like(probability)
        output = torch.zeros_like(x)
        states, attn_weights = [x], {}
        for level in levels:
            if not running.any() and not any(later.number in context.need_weights for later in levels[level.number :]):
                # A position that runs longer will read, at this level too, those that have halted.
                if context.cache is not None:
                    cache_keys_values(x, level, context)
                states.append(x)
                continue
            p = self._halt(with_coordinates(x, level, context))
            halts = running & (probability + p > THRESHOLD)
            left = 1.0 - probability
            weight = torch.where(halts, left, p) * running
            remainder = torch.where(halts, left, remainder)
            steps = steps + running
            probability = probability + p * running
            new, of_level = self._run(x, level, context)
            x = torch.where(running.unsqueeze(-1), new, x)
            output = torch.lerp(output, x, weight.unsqueeze(-1).to(x.dtype))
            running = running & ~halts
            states.append(x)
            if of_level is not None:
                attn_weights[level.number] = of_level
        return StackOutput(output, states if return_states else None, attn_weights, Halting(steps, remainder))

    def _halt(self, x: Tensor) -> Tensor:
        """Probability `(batch, length)` with which each position halts at this level, in float32 whatever `x` is."""
        unit = self.halting_unit
        # A product would follow autocast into another type.
        return torch.sigmoid((x.float() * unit.weight.float()).sum(-1) + unit.bias.float())
