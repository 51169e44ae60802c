"""ringformer export --to transformers: a folder that Hugging Face's library loads by itself."""

import json
import os
import stat

import pytest
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from tests.cli.conftest import sentence

CONTENT = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
TEXT = [sentence(numbers)[0] for numbers in ([1], [4, 2], [7, 7, 3], [9, 0, 5, 6], [8, 1, 1, 2, 3, 0])]


@pytest.fixture
def export(toy):
    """The arguments of an export of the toy's model to a folder."""
    path = ("--path", toy.run / "checkpoint_last.pt", "--data", toy.data)
    return lambda output, *flags: ("export", *path, "--to", "transformers", "--output", output, *flags)


def translated(folder, **search):
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(TEXT, return_tensors="pt", padding=True)
    return tokenizer.batch_decode(model.generate(**batch, **search), skip_special_tokens=True)


def test_the_folder_translates_as_this_package(toy, ringformer, export, tmp_path):
    status, out, err = ringformer(*export(tmp_path / "hf"))
    assert (status, err) == (0, "")
    assert "ForConditionalGeneration of 0." in out and out.endswith(f"MB and its tokenizer written to {tmp_path}/hf\n")
    assert sorted(os.listdir(tmp_path / "hf")) == CONTENT and os.listdir(tmp_path) == ["hf"]
    assert len({stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "hf").iterdir()}) == 1
    path = ("--path", toy.run / "checkpoint_last.pt", "--data", toy.data)
    for flags, search in (("--beam", "5"), {}), (("--beam", "1"), {"num_beams": 1}):
        _, expected, _ = ringformer("translate", *path, *flags, "--no-split", *TEXT)
        assert translated(tmp_path / "hf", **search) == expected.splitlines()
    config = json.loads((tmp_path / "hf" / "tokenizer_config.json").read_text())
    assert config["model_max_length"] == 24


def test_a_folded_checkpoint_gives_the_same_files(toy, ringformer, export, tmp_path):
    assert ringformer("fold", "--path", toy.run / "checkpoint_last.pt", "--output", tmp_path / "folded.pt")[0] == 0
    assert ringformer(*export(tmp_path / "ring"))[0] == 0
    assert ringformer(*export(tmp_path / "folded"), "--path", tmp_path / "folded.pt")[0] == 0
    for name in CONTENT:
        assert (tmp_path / "ring" / name).read_bytes() == (tmp_path / "folded" / name).read_bytes(), name


def test_only_such_a_folder_is_replaced(ringformer, refused, export, tmp_path):
    assert ringformer(*export(tmp_path / "hf"))[0] == 0
    assert "is there already" in refused(*export(tmp_path / "hf"))
    assert ringformer(*export(tmp_path / "hf", "--force"))[0] == 0
    (tmp_path / "hf" / "README.md").touch()
    assert "holds something else" in refused(*export(tmp_path / "hf", "--force"))


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--quantization", "int8"), "--quantization is for --to ctranslate2"),
        (
            ("--tokenizer", "moses"),
            "checkpoint_last.pt: Hugging Face's tokenizers cannot do what --tokenizer moses does",
        ),
        (("--data", "no"), "no: no such data folder"),
    ],
)
def test_mistakes(refused, export, tmp_path, monkeypatch, flags, text):
    monkeypatch.chdir(tmp_path)
    assert text in refused(*export("hf"), *flags)
    assert os.listdir(tmp_path) == []
