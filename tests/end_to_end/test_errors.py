"""What goes wrong says so: the text that ends fairseq's output, for each mistake."""

import pickle
import shutil

import pytest
import torch

from tests.hostile import Harm


def test_contradicting_options(fairseq, toy):
    with pytest.raises(ValueError, match="encoder: signal rank 17 must lie between 1 and the embedding width, 16"):
        fairseq.train(toy.data, "--signal-rank", "17", "--max-update", "1", "--disable-validation")


def test_checkpoint_of_another_architecture(fairseq, toy, trained):
    path = trained("vanilla_transformer").last
    with pytest.raises(Exception) as error:
        fairseq.train(toy.data, "--restore-file", path, "--max-update", "1")
    # fairseq's own text ends the output, ours stands above it.
    assert f"Cannot load model parameters from checkpoint {path}" in str(error.value)
    text = str(error.value.__context__)
    assert text.startswith("the checkpoint is of another architecture than this RingFormerModel: it lacks ")
    assert "use the --arch and flags that it was trained with" in text


@pytest.mark.parametrize("flags", [(), ("--share-decoder-input-output-embed", "--output-bias")])
def test_dictionaries_of_other_data(flags, fairseq, toy):
    run = fairseq.train(toy.data, *flags, "--max-update", "1", "--disable-validation")
    with pytest.raises(ValueError) as error:
        fairseq.generate(toy.joined, run.last)
    assert (
        f"{toy.joined} has other dictionaries than the checkpoint was trained with: on the source side entry 5 is"
        in str(error.value)
    )


def test_one_table_with_another_dictionary(fairseq, toy, tmp_path):
    run = fairseq.train(toy.joined, "--share-all-embeddings", "--max-update", "1", "--disable-validation")
    shutil.copytree(toy.joined, tmp_path / "data")
    for dictionary in (tmp_path / "data").glob("dict.*.txt"):
        with dictionary.open("a") as stream:
            stream.write("zehn 1\n")
    with pytest.raises(
        ValueError, match="knows 25 source and 25 target symbols, .* of 26 source and 26 target symbols"
    ):
        fairseq.generate(tmp_path / "data", run.last)


def test_a_checkpoint_that_runs_code_is_refused(fairseq, toy, tmp_path):
    marker, path = tmp_path / "executed", tmp_path / "checkpoint_last.pt"
    torch.save({"args": Harm(marker), "model": {}}, path)
    for use in (
        lambda: fairseq.generate(toy.data, str(path)),
        lambda: fairseq.train(toy.data, "--max-update", "1", save_dir=tmp_path),
    ):
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            use()
    assert not marker.exists()
