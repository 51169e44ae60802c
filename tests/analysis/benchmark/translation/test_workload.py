import numpy
import pytest
import torch
from fairseq.data import LanguagePairDataset
from fairseq.data.indexed_dataset import MMapIndexedDatasetBuilder

from fairseq_ringformer.analysis.benchmark.translation import workload
from fairseq_ringformer.analysis.benchmark.translation.candidates import build_task
from fairseq_ringformer.analysis.benchmark.translation.workload import (
    forced_length,
    generation_batches,
    output_tokens,
    read_lengths,
    sample_lengths,
    training_batches,
)
from fairseq_ringformer.errors import UserError

DICTIONARY = build_task(50).source_dictionary
LENGTHS = sample_lengths(400, seed=3)


def lengths_of(sample):
    pad = DICTIONARY.pad()
    sides = sample["net_input"]["src_tokens"], sample["target"]
    return numpy.stack([side.ne(pad).sum(dim=1).numpy() for side in sides], axis=1)


def fairseq_batches(lengths, **limits):
    """The batches that fairseq makes of these lengths."""
    sides = [[torch.full((length,), 5) for length in side] for side in lengths.T]
    data = LanguagePairDataset(sides[0], lengths[:, 0], DICTIONARY, sides[1], lengths[:, 1], DICTIONARY, shuffle=False)
    return [list(batch) for batch in data.batch_by_size(data.ordered_indices(), **limits)]


def test_sampled_lengths_are_like_those_of_the_quick_set():
    source, target = sample_lengths(50_000, seed=1).T
    assert numpy.quantile(source, (0.05, 0.5, 0.95)).tolist() == pytest.approx([5, 14, 36], abs=1)  # there: 5, 14, 35
    assert numpy.quantile(target, (0.05, 0.5, 0.95)).tolist() == pytest.approx([5, 13, 33], abs=1)  # there: 5, 13, 32
    assert 0.9 < numpy.corrcoef(numpy.log(source), numpy.log(target))[0, 1] < 0.97


@pytest.mark.parametrize("limits", ({"max_sentences": 32}, {"max_tokens": 300, "required_batch_size_multiple": 8}))
def test_batches_are_those_that_fairseq_makes(limits):
    own = workload._batches(LENGTHS, numpy.arange(len(LENGTHS)), **limits)
    assert [list(batch) for batch in own] == fairseq_batches(LENGTHS, **limits)


def test_limits_that_leave_no_pair_are_refused():
    with pytest.raises(UserError, match="no sentence pair is that short: raise --max-tokens"):
        training_batches(LENGTHS, DICTIONARY, max_tokens=300, count=3, longest=1, seed=1)


def test_training_batches_are_full_and_spread_over_lengths():
    samples = training_batches(LENGTHS, DICTIONARY, max_tokens=300, count=3, longest=100, seed=1)
    sizes = [side.numel() for sample in samples for side in (sample["net_input"]["src_tokens"], sample["target"])]
    assert len(samples) == 3 and max(sizes) <= 300
    widths = [sample["target"].size(1) for sample in samples]
    assert widths == sorted(widths) and widths[0] < widths[-1]
    pairs = {tuple(pair) for pair in LENGTHS.tolist()}
    assert all(tuple(pair) in pairs for sample in samples for pair in lengths_of(sample).tolist())
    for sample in samples:
        lengths = lengths_of(sample)
        assert (sample["nsentences"], sample["ntokens"]) == (len(lengths), lengths[:, 1].sum())


def test_sentences_longer_than_the_models_positions_are_left_out():
    for make in (
        lambda: training_batches(LENGTHS, DICTIONARY, 300, 100, longest=12, seed=1),
        lambda: generation_batches(LENGTHS, DICTIONARY, 4, 100, longest=12, seed=1),
    ):
        assert max(lengths_of(sample).max() for sample in make()) == 12


def test_outputs_are_forced_to_the_longest_reference_of_the_batch():
    samples = generation_batches(LENGTHS, DICTIONARY, batch_size=8, count=2, longest=100, seed=1)
    longest = [lengths_of(sample)[:, 1].max() for sample in samples]
    assert [forced_length(sample) + 1 for sample in samples] == longest
    assert output_tokens(samples) == 8 * sum(longest)


def test_the_same_seed_gives_the_same_tokens():
    first, again, other = (generation_batches(LENGTHS, DICTIONARY, 4, 1, 100, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first["target"], again["target"]) and not torch.equal(first["target"], other["target"])
    assert first["target"].max() < len(DICTIONARY)


def test_lengths_are_read_from_binary_data(tmp_path):
    expected = {"train": [(3, 2), (5, 4), (2, 6)], "test": [(4, 4)]}
    for split, pairs in expected.items():
        for side, language in enumerate(("de", "en")):
            prefix = tmp_path / "bin" / f"{split}.de-en.{language}"
            prefix.parent.mkdir(exist_ok=True)
            builder = MMapIndexedDatasetBuilder(f"{prefix}.bin")
            for pair in pairs:
                builder.add_item(torch.full((pair[side],), 7))
            builder.finalize(f"{prefix}.idx")
    for folder in (tmp_path, tmp_path / "bin"):
        lengths = read_lengths(str(folder))
        assert {"train": [*map(tuple, lengths.train)], "test": [*map(tuple, lengths.test)]} == expected
        assert lengths.origin == str(tmp_path / "bin")
    (tmp_path / "bin" / "test.de-en.en.idx").unlink()
    with pytest.raises(ValueError, match=r"bin has no test set \(.*test.de-en.en.idx\): binarise it"):
        read_lengths(str(tmp_path))


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no data of fairseq-preprocess"):
        read_lengths(str(tmp_path))
    with pytest.raises(ValueError, match="absent: no such data folder"):
        read_lengths(str(tmp_path / "absent"))
