"""Training steps and classification, on random images."""

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from timm.optim import create_optimizer_v2
from torch import Tensor

from ....modules.kernels import span
from ..training import synchronise
from .candidates import Candidate

LEARNING_RATE = 1e-4  # small: random images teach nothing
CLIP_NORM = 1.0
TYPES = {"no": torch.float32, "bf16": torch.bfloat16}

Batch = tuple[Tensor, Tensor]  # images `(batch, channels, height, width)` and targets `(batch,)`


def random_images(count: int, size: tuple[int, int, int], seed: int) -> Tensor:
    """Normal noise `(count, channels, height, width)`."""
    return torch.randn(count, *size, generator=torch.Generator().manual_seed(seed))


def random_batches(count: int, images: int, size: tuple[int, int, int], classes: int, seed: int) -> list[Batch]:
    """`count` batches of `images` random images with random targets below `classes`."""
    batches = []
    for number in range(count):
        generator = torch.Generator().manual_seed(seed + number)
        targets = torch.randint(classes, (images,), generator=generator)
        batches.append((random_images(images, size, seed + number), targets))
    return batches


def precision(candidate: Candidate, device: str) -> torch.autocast:
    """What the candidate's passes run in."""
    return torch.autocast(device, TYPES[candidate.mixed_precision], enabled=candidate.mixed_precision != "no")


def prepare_training() -> None:
    """Import what the first step of an optimiser does: timm, and torch's compiler."""
    weight = torch.nn.Linear(1, 1)
    optimizer = create_optimizer_v2(weight, "adam", lr=LEARNING_RATE)
    F.cross_entropy(weight(torch.ones(1, 1)), torch.zeros(1, dtype=torch.long)).backward()
    torch.nn.utils.clip_grad_norm_(weight.parameters(), CLIP_NORM)
    optimizer.step()


class Training:
    """One candidate and its optimiser: Adam, clipping at norm 1.0, a fixed learning rate.

    Args:
        candidate: what is trained.
        device: "cpu" or "cuda".
        seed: of dropout.
    """

    def __init__(self, candidate: Candidate, device: str, seed: int):
        self.candidate, self.device, self.dtype = candidate, device, TYPES[candidate.mixed_precision]
        self.model = candidate.build().to(device).train()
        self.optimizer = create_optimizer_v2(self.model, "adam", lr=LEARNING_RATE, weight_decay=0.0)
        torch.manual_seed(seed)

    def run(self, batches: list[Batch]) -> None:
        """One update on each of `batches`: forward, cross-entropy, backward, clipping, Adam."""
        try:
            for batch in batches:
                with self.gradients_of(batch):
                    with span("clip"):
                        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
                    self.optimizer.step()
        except torch.OutOfMemoryError:
            raise MemoryError("out of memory in training: lower --images") from None
        synchronise(self.device)

    @contextlib.contextmanager
    def gradients_of(self, batch: Batch) -> Iterator[None]:
        """Forward and backward pass alone, inside the context; gradients are dropped after it."""
        images, targets = (tensor.to(self.device) for tensor in batch)
        with precision(self.candidate, self.device):
            loss = F.cross_entropy(self.model(images), targets)
        loss.backward()
        yield
        self.optimizer.zero_grad()


class Inference:
    """One candidate that classifies, in evaluation mode.

    Args:
        candidate: what classifies.
        device: "cpu" or "cuda".

    Attributes:
        prepared: whether its weights were prepared, as a deployed model's are (``reparameterize``).
    """

    def __init__(self, candidate: Candidate, device: str):
        self.candidate, self.device = candidate, device
        self.model = candidate.build().to(device).eval()
        self.prepared = hasattr(self.model, "reparameterize")
        if self.prepared:
            with precision(candidate, device):
                self.model.reparameterize()

    @torch.inference_mode()
    def run(self, images: Tensor, times: int) -> Tensor:
        """Classify the batch `images` `times` times over; the logits of the last."""
        with precision(self.candidate, self.device):
            for _ in range(times):
                logits = self.model(images)
        synchronise(self.device)
        return logits
