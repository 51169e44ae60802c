"""Generation with fairseq's SequenceGenerator, outputs forced to the reference's length."""

import argparse

import torch
from fairseq import utils
from fairseq.dataclass.configs import GenerationConfig

from ....modules.kernels import span
from ..training import synchronise
from .candidates import Candidate
from .workload import Sample, forced_length


class Generation:
    """One candidate and its search, as fairseq-generate sets them up.

    Random weights end sentences anywhere; each output is forced to the length of the batch's longest reference, so that
    all candidates do the same work.

    Args:
        candidate: what generates.
        beam: width of the beam; 1 is greedy.
        device: "cpu" or "cuda".
        dtype: of weights and products.
    """

    def __init__(self, candidate: Candidate, beam: int, device: str, dtype: torch.dtype = torch.float32):
        config = argparse.Namespace(generation=GenerationConfig(beam=beam))
        self.task, self.device = candidate.task(), device
        self.model = candidate.build().to(device, dtype).eval()
        self.model.prepare_for_inference_(config)
        self.generator = self.task.build_generator([self.model], config.generation)

    def run(self, samples: list[Sample]) -> list[tuple[int, ...]]:
        """Translate `samples` one after another; lengths of the best hypotheses, batch by batch."""
        lengths = []
        for sample in samples:
            if self.device == "cuda":
                sample = utils.move_to_cuda(sample)
            self.generator.min_len = self.generator.max_len_b = forced_length(sample)
            with span("search"):
                results = self.task.inference_step(self.generator, [self.model], sample)
            lengths.append(tuple(len(hypotheses[0]["tokens"]) for hypotheses in results))
        synchronise(self.device)
        return lengths
