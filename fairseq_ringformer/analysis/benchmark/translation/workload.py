"""The work: batches of real lengths and random tokens, the same for every candidate."""

import os
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from fairseq.data import Dictionary, LanguagePairDataset, data_utils

from ....errors import UserError

Sample = dict[str, Any]

# Lengths of the Debian quick set's 63,735 training pairs, end of sentence included: log(source) is normal, and
# log(target) is linear in it, with normal noise.
LOG_SOURCE_MEAN, LOG_SOURCE_DEVIATION = 2.62, 0.61
LOG_TARGET_SLOPE, LOG_TARGET_OFFSET, LOG_TARGET_DEVIATION = 0.90, 0.19, 0.21
SHORTEST, LONGEST = 2, 330


@dataclass(frozen=True)
class Lengths:
    """Source and target lengths of sentence pairs `(pairs, 2)`, end of sentence included, and where they are from."""

    train: numpy.ndarray
    test: numpy.ndarray
    origin: str


def sample_lengths(pairs: int, seed: int) -> numpy.ndarray:
    """`(pairs, 2)` source and target lengths from the distribution fitted to the quick set."""
    random = numpy.random.default_rng(seed)
    source = random.normal(LOG_SOURCE_MEAN, LOG_SOURCE_DEVIATION, pairs)
    target = LOG_TARGET_OFFSET + LOG_TARGET_SLOPE * source + random.normal(0, LOG_TARGET_DEVIATION, pairs)
    lengths = numpy.exp(numpy.stack([source, target], axis=1))
    return lengths.round().astype(int).clip(SHORTEST, LONGEST)


def read_lengths(folder: str) -> Lengths:
    """Lengths of the train and test set of a folder of fairseq-preprocess, or of one that has it as ``bin``.

    Raises:
        UserError: if it is none.
    """
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such data folder")
    binary = os.path.join(folder, "bin") if os.path.isdir(os.path.join(folder, "bin")) else folder
    source, target = data_utils.infer_language_pair(binary)
    if source is None:
        raise UserError(f"{folder} holds no data of fairseq-preprocess: give the folder with its dictionaries")

    def read(split: str) -> numpy.ndarray:
        sides = []
        for language in (source, target):
            prefix = os.path.join(binary, f"{split}.{source}-{target}.{language}")
            data = data_utils.load_indexed_dataset(prefix, None)
            if data is None:
                raise UserError(f"{binary} has no {split} set ({prefix}.idx): binarise it with fairseq-preprocess")
            # A copy: the sizes are a view of a file that is closed with `data`.
            sides.append(numpy.array(data.sizes))
        return numpy.stack(sides, axis=1)

    return Lengths(read("train"), read("test"), binary)


def training_batches(
    lengths: numpy.ndarray, dictionary: Dictionary, max_tokens: int, count: int, longest: int, seed: int
) -> list[Sample]:
    """`count` of the batches that fairseq-train would make of such pairs, spread evenly over short and long.

    Args:
        lengths: `(pairs, 2)` source and target lengths.
        max_tokens: most source or target tokens in a batch, padding counted (fairseq's ``--max-tokens``).
        longest: longer pairs are left out.
    """
    lengths = lengths[(lengths.max(axis=1) <= min(longest, max_tokens))]
    order = numpy.random.default_rng(seed).permutation(len(lengths))
    batches = _batches(lengths, order, max_tokens=max_tokens, required_batch_size_multiple=8)
    # The remainders are no full batches: time for them is mostly overhead.
    full = [batch for batch in batches if lengths[batch].max(axis=1).max() * len(batch) >= 0.75 * max_tokens] or batches
    return _samples(lengths, full, count, dictionary, seed)


def generation_batches(
    lengths: numpy.ndarray, dictionary: Dictionary, batch_size: int, count: int, longest: int, seed: int
) -> list[Sample]:
    """`count` of the batches of `batch_size` that fairseq-generate would make, spread evenly over short and long."""
    lengths = lengths[lengths.max(axis=1) <= longest]
    batches = _batches(lengths, numpy.arange(len(lengths)), max_sentences=batch_size)
    full = [batch for batch in batches if len(batch) == batch_size] or batches
    return _samples(lengths, full, count, dictionary, seed)


def _batches(lengths: numpy.ndarray, order: numpy.ndarray, **limits: int) -> list[numpy.ndarray]:
    """Indices by batch; `limits` are those of fairseq's ``batch_by_size``."""
    if not len(lengths):
        raise UserError(
            "no sentence pair is that short: raise --max-tokens, or --max-source-positions and --max-target-positions"
        )
    # As fairseq's LanguagePairDataset.ordered_indices: by source length, ties by target length, ties by `order`.
    order = order[numpy.lexsort((lengths[order, 1], lengths[order, 0]))]
    return data_utils.batch_by_size(
        order.astype(numpy.int64),
        num_tokens_fn=lambda index: int(lengths[index].max()),
        num_tokens_vec=lengths[order].max(axis=1).astype(numpy.int64),
        **limits,
    )


def _samples(
    lengths: numpy.ndarray, batches: list[numpy.ndarray], count: int, dictionary: Dictionary, seed: int
) -> list[Sample]:
    """`count` of the `batches`, from the middles of equal parts of the list; all, if there are no more."""
    count = min(count, len(batches))
    chosen = [batches[int((number + 0.5) * len(batches) / count)] for number in range(count)]
    return [_sample(lengths[batch], dictionary, seed + number) for number, batch in enumerate(chosen)]


def _sample(lengths: numpy.ndarray, dictionary: Dictionary, seed: int) -> Sample:
    """Pairs of random tokens with these lengths, collated by fairseq: sources padded on the left."""
    random = torch.Generator().manual_seed(seed)

    def sentence(length: int) -> torch.Tensor:
        tokens = torch.randint(dictionary.nspecial, len(dictionary), (int(length),), generator=random)
        tokens[-1] = dictionary.eos()
        return tokens

    sides = [[sentence(length) for length in side] for side in lengths.T]
    dataset = LanguagePairDataset(
        sides[0], lengths[:, 0], dictionary, sides[1], lengths[:, 1], dictionary, shuffle=False
    )
    return dataset.collater([dataset[index] for index in range(len(lengths))])


def forced_length(sample: Sample) -> int:
    """Length that all outputs of a batch are forced to: its longest reference's, end of sentence not counted."""
    return sample["target"].size(1) - 1


def output_tokens(samples: list[Sample]) -> int:
    """Tokens that forced outputs have together, end of sentence included; one hypothesis a sentence."""
    return sum(sample["nsentences"] * (forced_length(sample) + 1) for sample in samples)
