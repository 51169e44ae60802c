"""Levels before the last that learn to be the last, too, for ``evaluate --exit-level`` (after arXiv 2404.16710)."""

import copy

import torch
from torch import Tensor, nn

from ...errors import UserError
from ...modules import parse_exits
from ..data import InputConfig
from .options import Options


class Exits(nn.Module):
    """A classifier, ours or timm's, that also tells what it would if it ended after levels before its last.

    A module, so that several processes, mixed precision and the compiler find all of a training's forward pass in one.

    Args:
        model: is trained in place; its own forward pass stays that of the last level.
        options: ``exit_levels`` among them.
        input: what the model's images are like.

    Raises:
        UserError: if the model has no such levels, or cannot be read or cut off after them.
    """

    def __init__(self, model: nn.Module, options: Options, input: InputConfig):
        super().__init__()
        self.model = model
        levels = len(getattr(model, "feature_info", ()))
        self.levels = parse_exits(options.exit_levels, levels, options.model) if levels > 1 else []
        if not self._agrees_with_pruning(torch.randn(1, *input.size, generator=torch.Generator().manual_seed(1))):
            raise UserError(f"--exit-weight: the head of {options.model} cannot read levels before its last one")

    @torch.no_grad()
    def _agrees_with_pruning(self, images: Tensor) -> bool:
        """Whether each level says what the model does that ends there, as ``evaluate --exit-level`` makes it."""
        pruned = copy.deepcopy(self.model).eval()
        expected: list[Tensor] = []
        try:
            found = self.eval()(images)[1:]
            for level in reversed(self.levels):
                pruned.prune_intermediate_layers([level - 1], prune_head=False)
                expected.insert(0, pruned(images))
            return torch.allclose(found, torch.stack(expected), rtol=1e-3, atol=1e-4)
        except (AttributeError, TypeError, ValueError, AssertionError, RuntimeError, LookupError):
            return False
        finally:
            self.train()

    def forward(self, images: Tensor) -> Tensor:
        """Images `(batch, channels, height, width)` to logits `(1 + levels, batch, classes)`, the last level's first."""
        state, earlier = self.model.forward_intermediates(
            images, [level - 1 for level in self.levels], return_prefix_tokens=True, norm=True, output_fmt="NLC"
        )
        # Tokens before those of patches come as the second of a pair, where there are any.
        states = [torch.cat(one[::-1], dim=1) if isinstance(one, tuple) else one for one in earlier]
        return torch.stack([self.model.forward_head(one) for one in (state, *states)])
