"""Translation: training by fairseq's Trainer, and generation by its SequenceGenerator or by CTranslate2."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ....models import embedding
from ....models.decoder import RingFormerDecoder
from .. import runner
from ..measure import Result, speeds
from ..profile import Host, Profile, profile_run
from .contenders import Contender, build_task, is_vocabulary
from .ctranslate2 import CTranslate2Generation, check_ctranslate2
from .generation import Generation
from .training import Training, trainer_config
from .workload import Lengths, Sample, count_tokens, generation_batches, output_tokens, training_batches

MEASURES = ("training", "generation", "memory", "checkpoint")
BATCH_SIZES = (32, 1)
BEAMS = (5, 1)

# How much a round does: training batches, and sentences to generate by (beam, batch size); some seconds at most.
AMOUNTS = {
    "tiny": (4, {(5, 32): 128, (5, 1): 12, (1, 32): 256, (1, 1): 24}),
    "small": (3, {(5, 32): 128, (5, 1): 8, (1, 32): 256, (1, 1): 16}),
    "base": (1, {(5, 32): 128, (5, 1): 6, (1, 32): 128, (1, 1): 12}),
    "large": (1, {(5, 32): 32, (5, 1): 2, (1, 32): 32, (1, 1): 4}),
}
# CTranslate2's threads wait for more work, keeping a core busy, for up to 0.2 s (OpenMP's block time).
PAUSE = 0.25
# A ring's parts that this package's models for fairseq add.
HOSTS = ((embedding, "dropout", "dropout"), (RingFormerDecoder, "output_layer", "output layer"))


@dataclass(frozen=True)
class Settings(runner.Settings):
    """What a benchmark of translation does.

    Attributes:
        size: how much work a round is, a key of :data:`AMOUNTS`.
        max_tokens: most tokens of either side in a training batch, padding counted.
        criterion: fairseq's name.
        beams, batch_sizes: what generation is measured with, every pair of them.
        translators: of CTranslate2, side by side; None: chosen by the model's size.
    """

    measures: tuple[str, ...] = MEASURES
    size: str = "base"
    max_tokens: int = 4096
    criterion: str = "cross_entropy"
    beams: tuple[int, ...] = BEAMS
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    translators: int | None = None


class Benchmark(runner.Benchmark):
    """Measures translation models.

    Args:
        contenders: see :func:`.contenders.choose`.
        lengths: what the sentences are like.
        settings: what to do.

    Raises:
        ValueError: if CTranslate2 cannot run a contender that it should.
    """

    measures = MEASURES
    unit = "target tokens/s"

    def __init__(self, contenders: Sequence[Contender], lengths: Lengths, settings: Settings):
        super().__init__(contenders, settings)
        self.lengths, self.data = lengths, f"lengths of {lengths.origin}"
        self.task = build_task(contenders[0].vocabulary)
        self.longest = min(min(self.build_on_meta(contender).max_positions()) for contender in contenders) - 1
        for contender in self.contenders:
            if contender.quantization:
                check_ctranslate2(contender, self.task, settings.device)
        self.trainable = [contender for contender in self.contenders if not contender.quantization]

    def build(self, contender: Contender) -> nn.Module:
        return contender.build(self.task)

    def is_outer(self, name: str) -> bool:
        return is_vocabulary(name)

    def training_batches(self) -> list[Sample]:
        chosen = self.settings
        return training_batches(
            self.lengths.train,
            self.task.target_dictionary,
            chosen.max_tokens,
            AMOUNTS[chosen.size][0],
            self.longest,
            chosen.seed,
        )

    def training_setting(self) -> str:
        return f"{self.settings.criterion}, {self.settings.max_tokens} tokens a batch"

    def amount(self, batch: Sample) -> int:
        return batch["ntokens"]

    def preparation(self) -> Callable[[], Any]:
        return functools.partial(trainer_config, self.settings.criterion, self.settings.device, self.settings.seed)

    def beginning(self, contender: Contender) -> Callable[[], Training]:
        chosen = self.settings
        return functools.partial(Training, contender, chosen.criterion, chosen.device, chosen.seed)

    def training_hosts(self, training: Training) -> list[Host]:
        return [(training.trainer.criterion, "compute_loss", "softmax, loss"), *HOSTS]

    def generation_samples(self, beam: int, batch_size: int) -> list[Sample]:
        """The batches that a round of generation translates."""
        chosen = self.settings
        sentences = AMOUNTS[chosen.size][1].get((beam, batch_size), max(16, batch_size))
        return generation_batches(
            self.lengths.test,
            self.task.target_dictionary,
            batch_size,
            max(1, sentences // batch_size),
            self.longest,
            chosen.seed,
        )

    def generation(self) -> list[Result]:
        """Sentences and tokens per second of every pair of beam and batch size."""
        results = []
        for batch_size in self.settings.batch_sizes:
            for beam in self.settings.beams:
                results += self._generation(beam, batch_size)
        return results

    def _generation(self, beam: int, batch_size: int) -> list[Result]:
        samples = self.generation_samples(beam, batch_size)
        engines = [self._engine(contender, beam, batch_size) for contender in self.contenders]
        names = [contender.name for contender in self.contenders]
        setting = f"{f'beam {beam}' if beam > 1 else 'greedy'}, batch {batch_size}"
        pause = PAUSE if len(self.trainable) < len(self.contenders) else 0.0
        works = [lambda own=own: own.run(samples) for own in engines]
        seconds = self.rounds(f"generation, {setting}", works, pause)
        sentences, _ = count_tokens(samples)
        tokens = output_tokens(samples)
        results = speeds("generation", setting, "sentences/s", names, seconds, sentences)
        for result, engine in zip(results, engines):
            result.extra["tokens/s"] = result.value * tokens / sentences
            if isinstance(engine, CTranslate2Generation):
                result.extra["translators"], result.extra["threads of each"] = engine.layout
        return results

    def _engine(self, contender: Contender, beam: int, batch_size: int) -> Generation | CTranslate2Generation:
        chosen = self.settings
        if not contender.quantization:
            return Generation(contender, self.task, beam, chosen.device)
        return CTranslate2Generation(
            contender, self.task, beam, batch_size, chosen.device, chosen.threads, chosen.translators
        )

    def own_profile(self, contender: Contender) -> dict[str, Profile]:
        """Of generation with the first beam and batch size."""
        if "generation" not in self.settings.measures or contender.quantization:
            return {}
        beam, batch_size = self.settings.beams[0], self.settings.batch_sizes[0]
        samples = self.generation_samples(beam, batch_size)[:1]
        engine = Generation(contender, self.task, beam, self.settings.device)
        ensemble = engine.generator.model
        hosts = [
            (engine.model, "get_normalized_probs", "softmax, loss"),
            (engine.generator.search, "step", "search: best candidates"),
            (engine.generator, "finalize_hypos", "search: finished sentences"),
            (ensemble, "reorder_incremental_state", "reordering the cache"),
            (ensemble, "reorder_encoder_out", "reordering the cache"),
            (ensemble, "forward_encoder", "encoder, in between"),
            (ensemble, "forward_decoder", "decoder, in between"),
            *HOSTS,
        ]
        engine.run(samples)
        profile = profile_run(lambda: engine.run(samples), hosts, engine.model, self.settings.device)
        return {f"generation, beam {beam}, batch {batch_size}": profile}
