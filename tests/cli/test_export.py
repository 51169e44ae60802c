import json
import os
import re
import shutil
import stat

import pytest
import torch

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.text import shortlist
from fairseq_ringformer.text.ctranslate2_engine import Recipe
from tests.cli.dictionaries import turn

CONTENT = ["config.json", "model.bin", "recipe.json", "sentencepiece.model", "shared_vocabulary.json"]


@pytest.fixture
def export(toy):
    """The arguments of an export of the toy's model to a folder."""
    path = ("--path", toy.run / "checkpoint_last.pt", "--data", toy.data)
    return lambda output, *flags: ("export", *path, "--to", "ctranslate2", "--output", output, *flags)


def test_the_folder_holds_all_that_translating_needs(toy, ringformer, export, tmp_path):
    status, out, err = ringformer(*export(tmp_path / "model"))
    assert (status, err) == (0, "")
    pattern = r"ringformer_tiny of [\d,]+ parameters, .* MB: float32 weights of 0.\d MB, vocabularies and sub-words "
    assert re.fullmatch(pattern + f"written to {tmp_path}/model\n", out)
    assert sorted(os.listdir(tmp_path / "model")) == CONTENT and os.listdir(tmp_path) == ["model"]
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o777 & ~current_umask()
    assert (tmp_path / "model" / "sentencepiece.model").read_bytes() == (toy.root / "toy.model").read_bytes()
    assert json.loads((tmp_path / "model" / "recipe.json").read_text()) == {
        "source_lang": "de",
        "target_lang": "en",
        "bpe": "sentencepiece",
        "bpe_model": "sentencepiece.model",
        "tokenizer": None,
        "max_source_tokens": 23,
        "max_target_tokens": 1023,
        "quantization": "float32",
        "format": "ctranslate2",
        "normalisation": None,
        "largest_int8": None,
    }
    symbols = json.loads((tmp_path / "model" / "shared_vocabulary.json").read_text())
    named = [line.split()[0] for line in (toy.data / "dict.de.txt").read_text().splitlines()]
    assert symbols == ["<s>", "<pad>", "</s>", "<unk>", *named]


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folded_checkpoint_gives_the_same_model(toy, exported, ringformer, export, tmp_path):
    assert ringformer("fold", "--path", toy.run / "checkpoint_last.pt", "--output", tmp_path / "folded.pt")[0] == 0
    assert ringformer(*export(tmp_path / "folded"), "--path", tmp_path / "folded.pt")[0] == 0
    for name in CONTENT:
        assert (exported / name).read_bytes() == (tmp_path / "folded" / name).read_bytes(), name


@pytest.mark.parametrize("quantization", ["int8", "float16"])
def test_other_weights_are_smaller(exported, ringformer, export, tmp_path, quantization):
    assert ringformer(*export(tmp_path / "small", "--quantization", quantization))[0] == 0
    sizes = [(folder / "model.bin").stat().st_size for folder in (exported, tmp_path / "small")]
    assert sizes[1] < 0.8 * sizes[0] and Recipe.read(str(tmp_path / "small")).quantization == quantization


def test_a_shortlist_narrows_what_is_scored(toy, ringformer, refused, export, tmp_path, monkeypatch):
    aligned = []
    align = shortlist.align
    monkeypatch.setattr(shortlist, "align", lambda *sides: aligned.append(len(sides[0])) or align(*sides))
    monkeypatch.setattr(shortlist, "PAIRS", 150)  # of 200: every second
    status, out, _ = ringformer(*export(tmp_path / "model", "--shortlist"))
    assert status == 0 and "vocabularies, shortlist and sub-words" in out and aligned == [100]
    assert sorted(os.listdir(tmp_path / "model")) == sorted([*CONTENT, "vmap.txt"])
    translate = ("translate", "--model", tmp_path / "model", "eins zwei.")
    assert ringformer(*translate)[1] == "one two.\n"
    (tmp_path / "model" / "vmap.txt").write_text("\t.\n", encoding="utf-8")
    assert set(ringformer(*translate)[1].strip()) <= {".", " ", "⁇"}  # the unknown one is always a candidate
    carried = [str(flag) for flag in export(tmp_path / "other", "--shortlist")]
    del carried[carried.index("--data") : carried.index("--data") + 2]
    assert "--shortlist needs --data: the folder of the training data" in refused(*carried)
    shutil.copytree(toy.data, tmp_path / "bin", ignore=shutil.ignore_patterns("train.*"))
    shutil.copy(toy.root / "toy.model", tmp_path)
    shutil.copy(toy.root / "recipe.json", tmp_path)
    message = refused(*export(tmp_path / "other", "--shortlist"), "--data", tmp_path / "bin")
    assert f"{tmp_path}/bin holds no training data (train.*), which --shortlist aligns" in message


def test_only_an_exported_model_is_replaced(ringformer, refused, export, tmp_path):
    output = tmp_path / "model"
    output.mkdir()
    assert ringformer(*export(output))[0] == 0  # an empty folder is taken
    before = (output / "model.bin").read_bytes()
    message = refused(*export(output, "--quantization", "int8"))
    assert "is there already: name another folder, or add --force to replace it" in message
    assert (output / "model.bin").read_bytes() == before
    assert ringformer(*export(output, "--quantization", "int8", "--force"))[0] == 0
    assert Recipe.read(str(output)).quantization == "int8" and os.listdir(tmp_path) == ["model"]
    (output / "notes.txt").touch()  # a user's own
    assert "holds something else" in refused(*export(output, "--force"))
    (output / "notes.txt").unlink()
    (output / "recipe.json").unlink()
    for flags in ((), ("--force",)):
        assert "is a folder that holds something else: name another" in refused(*export(output, *flags))
    (output / "recipe.json").symlink_to(output / "config.json")
    assert "holds something else" in refused(*export(output, "--force")) and (output / "model.bin").exists()


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--output", "file"), "--output file is no folder: name one"),
        (("--output", "no/model"), "no: no such folder for --output"),
        (("--path", "no.pt"), "no.pt: no such checkpoint"),
        (("--data", "no"), "no: no such data folder"),
        (("--data", "."), "no recipe.json in . or beside it"),
        (("--sentencepiece-model", "file"), "file: not a model of sentencepiece"),
        (("--path", "linear.pt"), "linear.pt: CTranslate2 has no activation linear: it knows relu"),
    ],
)
def test_mistakes(toy, refused, export, tmp_path, monkeypatch, flags, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    state = torch.load(toy.run / "checkpoint_last.pt", weights_only=True)
    state["cfg"]["model"]["activation_fn"] = "linear"
    torch.save(state, "linear.pt")
    assert text in refused(*export("model"), *flags)
    assert sorted(os.listdir(tmp_path)) == ["file", "linear.pt"]


def test_another_dictionary_is_refused(toy, refused, export, tmp_path):
    turned = turn(toy.data, tmp_path / "turned")
    message = refused(*export(tmp_path / "model"), "--data", turned, "--bpe", "none")
    assert "was trained with: on the source side entry 4 is" in message


@pytest.mark.parametrize(
    "change, message",
    [
        (None, "no model of ringformer export --to ctranslate2"),
        (dict(format="other"), "no model of ringformer export --to ctranslate2"),
        (dict(extra=1), "no model of ringformer export --to ctranslate2"),
        (dict(bpe="other"), "unknown kind of sub-words 'other'"),
    ],
)
def test_recipes_of_others(tmp_path, change, message):
    recipe = Recipe("de", "en", "sentencepiece", "sentencepiece.model", None, 10, 10, "int8")
    recipe.write(str(tmp_path))
    (tmp_path / "model.bin").touch()
    assert Recipe.read(str(tmp_path)) == recipe
    path = tmp_path / "recipe.json"
    path.write_text("[" if change is None else json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=message):
        Recipe.read(str(tmp_path))
