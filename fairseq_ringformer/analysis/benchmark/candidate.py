"""A model that is compared: built from its name and options alone, with random weights."""

import re
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ...errors import UserError


@dataclass(frozen=True)
class Candidate:
    """How to build one model; small and picklable, so that a child process can build it again.

    Attributes:
        name: as tables show it.
        arch: registered architecture of fairseq, or timm's name.
        options: of the model, by name.
        seed: of the weights.
    """

    name: str
    arch: str
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 1

    def outer(self, model: nn.Module) -> re.Pattern[str]:
        """What the names of the weights of embeddings and head match in `model`, which this has built."""
        raise NotImplementedError

    @property
    def trains(self) -> bool:
        """Whether it can be trained as it is."""
        return True

    def create(self) -> nn.Module:
        raise NotImplementedError

    def build(self) -> nn.Module:
        """The model, on the device that torch builds on.

        Raises:
            UserError: if the options make no model.
        """
        torch.manual_seed(self.seed)
        try:
            return self.create()
        except (ValueError, AssertionError, TypeError, AttributeError, RuntimeError) as error:
            raise UserError(f"{self.arch} cannot be built: {' '.join(str(error).split()) or repr(error)}") from None

    def build_on_meta(self) -> nn.Module:
        """As :meth:`build`, without allocating a weight."""
        with torch.device("meta"):
            return self.build()

    def parameters(self) -> tuple[int, int]:
        """How many there are, in all and without embeddings and head."""
        model = self.build_on_meta()
        outer, sizes = self.outer(model), {name: weight.numel() for name, weight in model.named_parameters()}
        return sum(sizes.values()), sum(size for name, size in sizes.items() if not outer.search(name))
