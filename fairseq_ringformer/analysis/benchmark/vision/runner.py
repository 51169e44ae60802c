"""Image classification: training steps, and images classified."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .. import runner
from ..measure import Result, speeds
from ..profile import Profile, profile_run
from .candidates import Candidate, Task
from .training import Batch, Inference, Training, prepare_training, random_batches, random_images

MEASURES = ("training", "inference", "memory", "checkpoint")


class Amounts(NamedTuple):
    """How much is done with models whose images take up to `limit` multiply-adds each.

    `images` are in a training batch, `batch_sizes` in one to classify, `work` is the multiply-adds of a round: one
    to three seconds on two cores, or one batch.
    """

    limit: float
    images: int
    batch_sizes: tuple[int, ...]
    work: float


AMOUNTS = (Amounts(1e9, 64, (256, 1), 5e10), Amounts(2e10, 16, (32, 1), 2e11), Amounts(float("inf"), 4, (32, 1), 2e11))
STEPS, CALLS = 16, 256  # of training and of inference in a round at most, where each costs as much as any other


@dataclass(frozen=True)
class Settings(runner.Settings):
    """What a benchmark of classifiers does.

    Attributes:
        images: in a training batch; None: by the size of the model.
        batch_sizes: images in a batch to classify; None: by the size of the model.
    """

    measures: tuple[str, ...] = MEASURES
    images: int | None = None
    batch_sizes: tuple[int, ...] | None = None


class Benchmark(runner.Benchmark):
    """Measures image classifiers.

    Args:
        candidates: see :func:`.candidates.choose`; the second, a model of this package, says how large images are.
        settings: what to do.
    """

    measures = MEASURES
    unit = "images/s"

    prepare_training = staticmethod(prepare_training)

    def __init__(self, candidates: Sequence[Candidate], settings: Settings):
        super().__init__(candidates, settings)
        self.choose_amounts(Task.of(candidates[1]))
        self.data = f"random images of {' x '.join(map(str, self.task.size))}"

    def choose_amounts(self, task: Task) -> None:
        """How much a round of `task` does, where the settings leave it open."""
        self.task, self.amounts = task, next(amounts for amounts in AMOUNTS if task.multiply_adds <= amounts.limit)
        self.images = self.settings.images or self.amounts.images
        self.batch_sizes = self.settings.batch_sizes or self.amounts.batch_sizes
        self.training_setting = f"{self.images} images a batch"

    def _times(self, multiply_adds: float, most: int) -> int:
        """How often something of so many multiply-adds is done in a round."""
        return min(most, max(1, round(self.amounts.work / multiply_adds)))

    def training_batches(self) -> list[Batch]:
        # A backward pass has twice the products of the forward pass.
        count = self._times(3 * self.task.multiply_adds * self.images, STEPS)
        return random_batches(count, self.images, self.task.size, self.task.classes, self.settings.seed)

    def amount(self, batch: Batch) -> int:
        return len(batch[0])

    def trainer(self, candidate: Candidate) -> Callable[[], Training]:
        return functools.partial(Training, candidate, self.settings.device, self.settings.seed)

    def inference(self) -> list[Result]:
        """Images per second by batch size."""
        engines = [Inference(candidate, self.settings.device) for candidate in self.candidates]
        names = [candidate.name for candidate in self.candidates]
        results = []
        for batch_size in self.batch_sizes:
            images = random_images(batch_size, self.task.size, self.settings.seed).to(self.settings.device)
            times = self._times(self.task.multiply_adds * batch_size, CALLS)
            setting = f"batch {batch_size}"
            works = [functools.partial(engine.run, images, times) for engine in engines]
            seconds = self.rounds(f"inference, {setting}", works)
            results += speeds("inference", setting, "images/s", names, seconds, batch_size * times)
            for result, engine in zip(results[-len(engines) :], engines):
                result.extra["prepared"] = engine.prepared
        return results

    def use_profile(self, candidate: Candidate) -> dict[str, Profile]:
        """Of inference with the first batch size."""
        if "inference" not in self.settings.measures:
            return {}
        images = random_images(self.batch_sizes[0], self.task.size, self.settings.seed).to(self.settings.device)
        engine = Inference(candidate, self.settings.device)
        engine.run(images, 1)
        profile = profile_run(lambda: engine.run(images, 1), engine.model, self.settings.device)
        return {f"inference, batch {self.batch_sizes[0]}": profile}
