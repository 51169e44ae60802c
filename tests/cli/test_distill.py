"""``ringformer distill`` on the toy's set."""

import json
import shutil

import pytest

from fairseq_ringformer.files import locked
from fairseq_ringformer.text import distillation
from fairseq_ringformer.text.prepared import PreparedData
from fairseq_ringformer.text.translator import Translator


@pytest.fixture
def prepared(toy, tmp_path):
    """The toy's data as a prepared set."""
    folder = tmp_path / "data"
    (folder / "raw").mkdir(parents=True)
    for subset in ("train", "valid"):
        for language in ("de", "en"):
            shutil.copy(toy.root / f"{subset}.{language}", folder / "raw")
    shutil.copytree(toy.data, folder / "bin")
    shutil.copy(toy.root / "toy.model", folder)
    recipe = json.loads((toy.root / "recipe.json").read_text())
    (folder / "recipe.json").write_text(json.dumps({**recipe, "raw": "raw", "bin": "bin"}))
    return folder


def text(folder, subset, language):
    return (folder / "raw" / f"{subset}.{language}").read_text(encoding="utf-8")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_targets_are_the_teachers(toy, exported, prepared, ringformer, tmp_path):
    output = tmp_path / "distilled"
    command = ("distill", "--teacher", exported, "--data", prepared, "--output", output, "--beam", 2, "--threads", 1)
    status, out, err = ringformer(*command)
    assert (status, out) == (0, f"200 training pairs, with the translations of {exported}, written to {output}\n"), err
    flags = ("--beam", 2, "--no-split", "--threads", 1)
    assert (
        text(output, "train", "en")
        == ringformer("translate", "--model", exported, "--input", prepared / "raw" / "train.de", *flags)[1]
    )
    for subset, language in (("train", "de"), ("valid", "de"), ("valid", "en")):
        assert text(output, subset, language) == text(prepared, subset, language)
    data = PreparedData.read(output)
    assert data.details["distilled"] == dict(
        teacher=str(exported), beam=2, lenpen=1.0, with_original=False, engine="ctranslate2"
    )
    assert "machine translations" in (output / "PROVENANCE.md").read_text()
    assert not (tmp_path / "distilled.distilling").exists()
    # fairseq reads it, with the dictionaries of before.
    before, after = (contents(folder / "bin") for folder in (prepared, output))
    assert all(after[path] == before[path] for path in before if not path.name.startswith(("train", "preprocess")))
    from fairseq.data import Dictionary, data_utils

    dictionary = Dictionary.load(str(output / "bin" / "dict.en.txt"))
    lines = data_utils.load_indexed_dataset(str(output / "bin" / "train.de-en.en"), dictionary)
    assert dictionary.string(lines[0], "sentencepiece") == text(output, "train", "en").splitlines()[0]
    assert "is there already" in ringformer(*command)[2]
    (output / "runs").mkdir()  # somebody's, which would be lost
    assert "holds something else" in ringformer(*command, "--force")[2]


@pytest.mark.slow
def test_originals_come_first(toy, prepared, ringformer, tmp_path):
    """With fairseq for engine."""
    teacher = ("--teacher", toy.run / "checkpoint_last.pt", "--engine", "fairseq", "--beam", 1)
    output = ("--output", tmp_path / "both", "--with-original")
    assert ringformer("distill", *teacher, "--data", prepared, *output)[0] == 0
    path = ("--path", toy.run / "checkpoint_last.pt", "--data", toy.data, "--no-split", "--beam", 1)
    translated = ringformer("translate", *path, "--input", prepared / "raw" / "train.de")[1]
    assert text(tmp_path / "both", "train", "de") == 2 * text(prepared, "train", "de")
    assert text(tmp_path / "both", "train", "en") == text(prepared, "train", "en") + translated


@pytest.mark.slow
def test_an_interrupted_run_ends_as_it_would_have(toy, prepared, ringformer, tmp_path, monkeypatch):
    """A checkpoint for teacher, too."""
    monkeypatch.setattr(distillation, "CHUNK", 64)
    command = ("distill", "--teacher", toy.run / "checkpoint_last.pt", "--data", prepared, "--beam", 2, "--output")
    assert ringformer(*command, tmp_path / "whole")[0] == 0
    translate, calls, output = Translator.translate, [], tmp_path / "resumed"

    def interrupted(self, texts, **search):
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return translate(self, texts, **search)

    monkeypatch.setattr(Translator, "translate", interrupted)
    assert ringformer(*command, output)[0] == 130 and not output.exists()
    begun = tmp_path / "resumed.distilling" / "translations"
    assert begun.read_text().count("\n") == 128
    with open(begun, "a", encoding="utf-8") as stream:
        stream.write("cut o")
    refused = ringformer(*command, output, "--lenpen", 2)
    assert refused[0] == 2 and "another teacher, search or data began" in refused[2]
    assert ringformer(*command, output)[0] == 0
    assert calls == [64, 64, 64, 64, 8]
    assert contents(output) == contents(tmp_path / "whole")


def test_a_teacher_trained_anew_does_not_go_on_with_the_old_ones_text(
    exported, prepared, ringformer, tmp_path, monkeypatch
):
    teacher = shutil.copytree(exported, tmp_path / "teacher")
    command = ("distill", "--teacher", teacher, "--data", prepared, "--output", tmp_path / "new", "--threads", 1)

    def interrupted(self, texts, **search):
        raise KeyboardInterrupt

    monkeypatch.setattr(Translator, "translate", interrupted)
    assert [ringformer(*command)[0] for _ in range(2)] == [130, 130]
    with open(teacher / "recipe.json", "a") as recipe:
        recipe.write("\n")
    status, _, err = ringformer(*command)
    assert status == 2 and "another teacher, search or data began" in err


def test_an_engine_does_not_go_on_with_anothers_text(toy, prepared, ringformer, tmp_path, monkeypatch):
    command = ("distill", "--teacher", toy.run / "checkpoint_last.pt", "--data", prepared, "--output", tmp_path / "new")

    def interrupted(self, texts, **search):
        raise KeyboardInterrupt

    monkeypatch.setattr(Translator, "translate", interrupted)
    assert ringformer(*command)[0] == 130
    status, _, err = ringformer(*command, "--engine", "fairseq")
    assert status == 2 and "another teacher, search or data began" in err


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--teacher", "nothing.pt"), "nothing.pt"),
        (("--data", "nowhere"), "holds no prepared data"),
        (("--lenpen", "nan"), "--lenpen nan is no number"),
        (("--output", "data", "--force"), "--output data is a folder that holds something else"),
    ],
)
def test_mistakes(toy, prepared, ringformer, tmp_path, monkeypatch, flags, expected):
    monkeypatch.chdir(tmp_path)
    checkpoint = toy.run / "checkpoint_last.pt"
    status, _, err = ringformer("distill", "--teacher", checkpoint, "--data", prepared, "--output", "new", *flags)
    assert status == 2 and err.count("\n") == 1 and expected in err
    assert not (tmp_path / "new").exists()


def test_everything_may_lie_in_one_folder(exported, prepared, ringformer, tmp_path):
    recipe = json.loads((prepared / "recipe.json").read_text())
    for folder in ("raw", "bin"):
        shutil.copytree(prepared / folder, prepared, dirs_exist_ok=True)
        shutil.rmtree(prepared / folder)
    del recipe["bin"]
    (prepared / "recipe.json").write_text(json.dumps({**recipe, "raw": "."}))
    (prepared / "runs").mkdir()  # no text
    output = tmp_path / "new"
    assert ringformer("distill", "--teacher", exported, "--data", prepared, "--output", output, "--threads", 1)[0] == 0
    text = [f"{subset}.{language}" for subset in ("train", "valid") for language in ("de", "en")]
    assert sorted(path.name for path in (output / "raw").iterdir()) == text
    assert not (output / "bin" / "recipe.json").exists() and not (output / "bin" / "runs").exists()


def test_two_runs_do_not_write_one_set(exported, prepared, refused, tmp_path):
    gathering = tmp_path / "new.distilling"
    gathering.mkdir()
    with locked(gathering / ".lock", "taken"):
        err = refused(
            "distill", "--teacher", exported, "--data", prepared, "--output", tmp_path / "new", "--threads", 1
        )
    assert f"another run writes {tmp_path / 'new'}" in err


def test_a_teacher_of_other_languages(toy, exported, prepared, ringformer, tmp_path):
    recipe = json.loads((prepared / "recipe.json").read_text())
    (prepared / "recipe.json").write_text(json.dumps({**recipe, "source_lang": "en", "target_lang": "de"}))
    checkpoint = toy.run / "checkpoint_last.pt"
    for teacher in (
        ("--teacher", exported),
        ("--teacher", checkpoint),
        ("--teacher", checkpoint, "--engine", "fairseq"),
    ):
        err = ringformer("distill", *teacher, "--data", prepared, "--output", tmp_path / "new")[2]
        assert "translates de to en" in err and "is en to de" in err
