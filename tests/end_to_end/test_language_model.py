"""fairseq's commands for language models, from text to samples."""

import re

import pytest
import torch

from fairseq_ringformer.cli.main import main
from tests.building import MODELS

SIZES = "--decoder-embed-dim 16 --decoder-ffn-embed-dim 32 --decoder-attention-heads 2 --decoder-layers 2".split()
TRAINING = ["--optimizer", "adam", "--lr", "0.01", "--max-tokens", "256", "--no-epoch-checkpoints", "--seed", "1"]


@pytest.fixture(scope="session")
def text(fairseq, toy, tmp_path_factory):
    """The English side of the toy language, as fairseq's language models take it."""
    folder = tmp_path_factory.mktemp("lm") / "bin"
    prefixes = [word for split in ("train", "valid", "test") for word in (f"--{split}pref", toy.text / f"{split}.en")]
    fairseq.call("preprocess", "--only-source", *prefixes, "--destdir", folder, "--padding-factor", "1")
    return folder


def train(fairseq, text, folder, *flags, arch="ringformer_lm_tiny"):
    common = [text, "--task", "language_modeling", "--save-dir", folder, *SIZES, *fairseq.common, *TRAINING]
    fairseq.call("train", *common, "--arch", arch, "--tokens-per-sample", "32", *flags)
    return folder / "checkpoint_last.pt"


def loss(fairseq, text, path, caplog, *flags):
    """What fairseq-eval-lm says, in bits a token, of the test set."""
    caplog.clear()
    caplog.set_level("INFO")
    fairseq.call(
        "eval_lm", text, "--path", path, "--gen-subset", "test", "--tokens-per-sample", "32", *fairseq.common, *flags
    )
    return float(re.search(r"Loss \(base 2\): ([\d.]+)", caplog.text)[1])


@pytest.fixture(scope="session")
def trained(fairseq, text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return train(fairseq, text, folder, "--max-update", "60", "--sample-break-mode", "eos", "--disable-validation")


@pytest.mark.parametrize("model, mode", zip(MODELS, ("none", "complete", "eos")))
def test_it_trains_and_validates_in_every_mode(model, mode, fairseq, text, tmp_path):
    flags = "--max-update 2 --share-decoder-input-output-embed --autocast bf16 --sample-break-mode".split() + [mode]
    assert train(fairseq, text, tmp_path, *flags, arch=f"{model}_lm_tiny").exists()


@pytest.mark.slow
def test_folded_it_scores_and_samples_as_before(fairseq, text, trained, tmp_path, caplog, capsys):
    folded = tmp_path / "folded.pt"
    assert main(["fold", "--path", str(trained), "--output", str(folded)]) == 0
    assert "transformer_lm of" in capsys.readouterr().out
    assert torch.load(folded, weights_only=True)["cfg"]["model"]["_name"] == "transformer_lm"
    flags = ("--sample-break-mode", "eos")
    found = loss(fairseq, text, trained, caplog, *flags)
    assert 1 < found < 3.4  # of ten words and their end, untrained
    assert loss(fairseq, text, folded, caplog, *flags) == pytest.approx(found, abs=1e-4)

    def found_by(path, *search):
        flags = ("--task", "language_modeling", *search, "--max-len-b", "9")
        return [best.text for best, *_ in fairseq.interactive(text, str(path), ["one two", "nine"], *flags).values()]

    assert found_by(trained, "--beam", "3") == found_by(folded, "--beam", "3")
    for path in (trained, folded):  # building them takes different numbers from one seed, so what they draw differs
        samples = found_by(path, "--beam", "1", "--sampling", "--sampling-topk", "4", "--seed", "7")
        assert samples[0].startswith("one two") and samples[1].startswith("nine")


def test_from_python(text, trained):
    from fairseq_ringformer import RingFormerLanguageModel

    model = RingFormerLanguageModel.from_pretrained(str(trained.parent), trained.name, str(text))
    assert model.sample("one two", beam=1, sampling=True, max_len_b=8).startswith("one two")
    assert model.score("one two three")["positional_scores"].shape == (3,)  # its end is not scored


def test_exported_it_goes_on_the_same(fairseq, text, trained, tmp_path, capsys):
    import ctranslate2

    command = ["export", "--path", str(trained), "--to", "ctranslate2", "--output", str(tmp_path / "ct2")]
    assert main(command) == 2
    assert "--data" in capsys.readouterr().err
    for force in ((), ("--force",)):
        assert main([*command, "--data", str(text), *force]) == 0
    generator = ctranslate2.Generator(str(tmp_path / "ct2"))
    (found,) = generator.generate_batch([["</s>", "one"]], beam_size=1, max_length=8)
    best = fairseq.interactive(
        text, str(trained), ["one"], "--task", "language_modeling", "--beam", "1", "--max-len-b", "7"
    )
    words = best[0][0].text.split()
    assert [word for word in found.sequences[0] if word != "</s>"][: len(words)] == words[: len(found.sequences[0])]


def test_what_cannot_be_is_one_line_before_training(text, trained, tmp_path, capsys):
    common = [str(part) for part in (text, "--task", "language_modeling", "--save-dir", tmp_path, *SIZES, *TRAINING)]
    for flags, message in (
        (["--criterion", "adaptive_loss"], "adaptive_loss needs an adaptive softmax"),
        (["--adaptive-softmax-cutoff", "5"], "--adaptive-softmax-cutoff is not supported"),
        (
            ["--tokens-per-sample", "300", "--max-tokens", "128"],
            "are too long for a batch or the model: raise --max-tok",
        ),
        (["--arch", "ringformer_tiny"], "--task language_modeling: this model translates"),
    ):
        assert main(["train", *common, "--arch", "ringformer_lm_tiny", "--cpu", "--max-update", "1", *flags]) == 2
        assert message in capsys.readouterr().err
    assert main(["translate", "--path", str(trained), "--data", str(text), "--bpe", "none", "one"]) == 2
    assert "language_modeling, translating needs one for translation" in capsys.readouterr().err
