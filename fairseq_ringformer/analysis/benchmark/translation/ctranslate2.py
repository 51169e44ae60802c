"""Generation by CTranslate2, from a model that was exported to it, outputs forced to the reference's length."""

import os
import tempfile

from fairseq.data import Dictionary

from ....errors import UserError
from ....export.runtime import choose_instructions, layout
from .candidates import Candidate
from .workload import Sample, forced_length


def _converter(candidate: Candidate):
    from ....export.ctranslate2 import RingConverter

    model, task = candidate.build().eval(), candidate.task()
    try:
        return RingConverter(model, task.source_dictionary.symbols, task.target_dictionary.symbols)
    except ValueError as error:
        raise UserError(f"{candidate.arch} cannot be exported to CTranslate2: {error}") from None


def check_ctranslate2(candidate: Candidate, device: str) -> None:
    """Raise UserError if CTranslate2 has no such model, or not this compute type on `device`."""
    choose_instructions()  # CTranslate2 chooses its instructions at the first question
    from ctranslate2 import get_supported_compute_types

    known = sorted(get_supported_compute_types(device))
    if candidate.quantization not in known:
        raise UserError(f"CTranslate2 has no {candidate.quantization} on this {device}: it has {', '.join(known)}")
    _converter(candidate)


def export_to_ctranslate2(candidate: Candidate, folder: str) -> int:
    """Write the candidate's model to the new `folder`; returns the bytes of its weights."""
    _converter(candidate).convert(folder, quantization=candidate.quantization)
    return os.path.getsize(os.path.join(folder, "model.bin"))


class CTranslate2Generation:
    """One candidate and its search; see :class:`.generation.Generation`, which it does the same work as.

    Batches of several sentences are queued, as for the lines of a file, and every translator takes the next; of single
    sentences, the next is given when the one before is translated, as for somebody who waits.

    Args:
        candidate: what generates; its quantization is the compute type.
        beam: width of the beam.
        batch_size: sentences in a batch.
        device: "cpu" or "cuda".
        threads: CPU threads in all.
        translators: side by side; None: as :func:`~....export.runtime.layout` has it.
    """

    def __init__(
        self, candidate: Candidate, beam: int, batch_size: int, device: str, threads: int, translators: int | None
    ):
        import torch
        from ctranslate2 import Translator

        with tempfile.TemporaryDirectory() as work:
            folder = os.path.join(work, "model")
            size = export_to_ctranslate2(candidate, folder)
            self.queued = batch_size > 1
            self.layout = layout(threads, translators, size, not self.queued)
            self.translator = Translator(
                folder,
                device,
                compute_type=candidate.quantization,
                inter_threads=self.layout[0],
                intra_threads=self.layout[1],
                max_queued_batches=-1,
            )
        # Making a translator sets the number of OpenMP threads, which are torch's, too.
        torch.set_num_threads(threads)
        self.beam, self.dictionary = beam, candidate.task().source_dictionary

    def run(self, samples: list[Sample]) -> list[tuple[int, ...]]:
        """Translate `samples`; lengths of the best hypotheses, batch by batch."""
        running = []
        for sample in samples:
            length = forced_length(sample) + 1  # CTranslate2 counts the end of the sentence
            results = self.translator.translate_batch(
                _symbols(sample, self.dictionary),
                asynchronous=self.queued,
                beam_size=self.beam,
                min_decoding_length=length,
                max_decoding_length=length,
                max_input_length=0,
                return_end_token=True,
                return_scores=self.beam > 1,
                suppress_sequences=[[self.dictionary.pad_word]],  # as fairseq does
            )
            running.append(results)
        return [
            tuple(len((result.result() if self.queued else result).hypotheses[0]) for result in results)
            for results in running
        ]


def _symbols(sample: Sample, dictionary: Dictionary) -> list[list[str]]:
    """The source sentences as symbols, without padding and the end of the sentence, which CTranslate2 adds."""
    outside = (dictionary.pad(), dictionary.eos())
    return [
        [dictionary[token] for token in sentence if token not in outside]
        for sentence in sample["net_input"]["src_tokens"].tolist()
    ]
