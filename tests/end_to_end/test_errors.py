"""What goes wrong says so: the text that ends fairseq's output, for each mistake."""

import pickle
import shutil

import pytest
import torch

from tests.hostile import Harm

REFUSED_FLAGS = {
    "heads": (
        ("--encoder-attention-heads", "3"),
        "encoder: embed_dim 16 is not divisible by the number of attention heads, 3",
    ),
    "rank 0": (("--signal-rank", "0"), "encoder: signal rank 0 must lie between 1 and the embedding width, 16"),
    "rank 17": (("--signal-rank", "17"), "encoder: signal rank 17 must lie between 1 and the embedding width, 16"),
    "rank of nothing": (("--signal", "none", "--signal-rank", "2"), "--signal none excludes --signal-rank"),
    "map length": (("--ffn-sharing", "0,1,1"), "--ffn-sharing: '0,1,1' names 3 levels, but there are 2"),
    "map gap": (
        ("--decoder-self-attn-sharing", "0,2"),
        "--decoder-self-attn-sharing: '0,2' has a gap: copy 1 is used by",
    ),
    "map start": (("--norm-sharing", "1,2"), "--norm-sharing: '1,2' has a gap: copy 0 is used by no level"),
    "map word": (("--ffn-sharing", "all"), "--ffn-sharing: cannot read 'all'; use own, one, cycle:K"),
    "cycle": (
        ("--self-attn-sharing", "cycle:3"),
        "--self-attn-sharing: 'cycle:3' needs a number of copies from 1 to 2",
    ),
    "static": (("--signal", "static", "--attention-signal", "after"), "--signal static excludes --attention-signal"),
    "no levels": (("--decoder-layers", "0"), "--decoder-layers 0: a stack needs at least one level"),
    "layerdrop": (("--encoder-layerdrop", "0.1"), "--encoder-layerdrop has no meaning here: levels share weights"),
    "pruning": (
        ("--decoder-layers-to-keep", "0,1"),
        "--decoder-layers-to-keep has no meaning here: levels share weights",
    ),
    "offload": (("--offload-activations",), "--offload-activations is not supported: use --checkpoint-activations"),
    "epsilon": (("--norm-eps", "0"), "--norm-eps 0.0 must be above 0"),
    "alignment level": (("--alignment-layer", "2"), "--alignment-layer 2 must lie between 0 and 1"),
    "alignment from behind": (("--alignment-layer", "-1"), "--alignment-layer -1 must lie between 0 and 1"),
    "alignment heads": (("--alignment-heads", "3"), "--alignment-heads 3 must lie between 1 and 2"),
    "two dictionaries": (("--share-all-embeddings",), "run fairseq-preprocess with --joined-dictionary"),
    "two widths": (
        ("--share-encoder-decoder-ffn", "--decoder-embed-dim", "24"),
        "--share-encoder-decoder-ffn needs equal widths",
    ),
}


@pytest.mark.parametrize("name", REFUSED_FLAGS)
def test_contradicting_options(name, fairseq, toy):
    flags, text = REFUSED_FLAGS[name]
    with pytest.raises(ValueError) as error:
        fairseq.train(toy.data, *flags, "--max-update", "1", "--disable-validation")
    assert text in str(error.value)


@pytest.mark.parametrize(
    "flags, text",
    [
        (("--encoder-cross-attn-sharing", "one"), "unrecognized arguments: --encoder-cross-attn-sharing one"),
        (("--signal-rnak", "2"), "unrecognized arguments: --signal-rnak 2"),
        (("--signal", "lowrank"), "argument --signal: invalid choice: 'lowrank'"),
        (("--arch", "ringformer_tiney"), "argument --arch/-a: invalid choice: 'ringformer_tiney'"),
    ],
)
def test_unknown_options(flags, text, fairseq, toy, capsys):
    with pytest.raises(SystemExit) as stop:
        fairseq.train(toy.data, *flags)
    assert stop.value.code == 2
    assert text in capsys.readouterr().err.splitlines()[-1]


def test_a_refused_option_ends_the_command_line_with_its_text(command, training_flags, toy, tmp_path):
    done = command("fairseq-train", *training_flags(toy.data, tmp_path), "--signal-rank", "17")
    assert done.returncode == 1
    last = [line for line in done.stderr.splitlines() if line.strip()][-1]
    assert last.endswith("Error: encoder: signal rank 17 must lie between 1 and the embedding width, 16")


def test_missing_data(fairseq, toy, tmp_path):
    with pytest.raises(Exception, match="Could not infer language pair"):
        fairseq.train(tmp_path, "--max-update", "1")
    for dictionary in toy.data.glob("dict.*.txt"):
        shutil.copy(dictionary, tmp_path)
    with pytest.raises(FileNotFoundError, match="Dataset not found: valid"):
        fairseq.train(tmp_path, "-s", "de", "-t", "en", "--max-update", "1")


@pytest.mark.parametrize("flag", ["--restore-file", "--finetune-from-model"])
def test_checkpoint_of_another_architecture(flag, fairseq, toy, trained):
    path = trained("vanilla_transformer").last
    with pytest.raises(Exception) as error:
        fairseq.train(toy.data, flag, path, "--max-update", "1")
    # fairseq's own text ends the output, ours stands above it.
    assert f"Cannot load model parameters from checkpoint {path}" in str(error.value)
    text = str(error.value.__context__)
    assert text.startswith("the checkpoint is of another architecture than this RingFormerModel: it lacks ")
    assert "use the --arch and flags that it was trained with" in text


def test_overrides_that_change_the_architecture(fairseq, toy, trained):
    path = trained("ringformer").last
    missing = r"another architecture .* it lacks encoder\.stack\.norms\.ffn\.2\.bias \(4 missing, 0 unknown, 4 of"
    with pytest.raises(ValueError, match=missing):
        fairseq.generate(toy.data, path, "--model-overrides", "{'encoder_layers': 3}")
    misshapen = r"another architecture.* encoder\.stack\.ffn\.0\.fc1\.weight is \(32, 16\), here \(40, 16\)"
    with pytest.raises(ValueError, match=misshapen):
        fairseq.generate(toy.data, path, "--model-overrides", "{'encoder_ffn_embed_dim': 40}")


@pytest.mark.parametrize("flags", [(), ("--share-decoder-input-output-embed", "--output-bias")])
def test_dictionaries_of_other_data(flags, fairseq, toy):
    run = fairseq.train(toy.data, *flags, "--max-update", "1", "--disable-validation")
    with pytest.raises(ValueError) as error:
        fairseq.generate(toy.joined, run.last)
    assert str(error.value).startswith(
        "the checkpoint knows 15 source and 14 target symbols, "
        "the data folder has dictionaries of 25 source and 25 target symbols: use the data that it was trained on"
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


def test_truncated_checkpoint(fairseq, toy, trained, tmp_path):
    path = tmp_path / "checkpoint_last.pt"
    content = open(trained("ringformer").last, "rb").read()
    path.write_bytes(content[: len(content) // 2])
    # torch's reader says the one or the other, depending on where the file ends.
    damaged = pytest.raises((RuntimeError, OSError), match="failed finding central directory|Invalid argument")
    with damaged:
        fairseq.generate(toy.data, str(path))
    with damaged:
        fairseq.train(toy.data, "--max-update", "90", save_dir=tmp_path)
    assert path.stat().st_size == len(content) // 2, "a failed resume leaves the file alone"


@pytest.mark.parametrize("save", [torch.save, lambda state, path: path.write_bytes(pickle.dumps(state))])
def test_a_checkpoint_that_runs_code_is_refused(save, fairseq, toy, tmp_path):
    marker, path = tmp_path / "executed", tmp_path / "checkpoint_last.pt"
    save({"args": Harm(marker), "model": {}}, path)
    for use in (
        lambda: fairseq.generate(toy.data, str(path)),
        lambda: fairseq.train(toy.data, "--max-update", "1", save_dir=tmp_path),
    ):
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            use()
    assert not marker.exists()
