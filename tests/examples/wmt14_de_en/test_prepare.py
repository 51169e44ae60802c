"""prepare.sh from its command line, on the mirror; fairseq-preprocess is left to test_recipe.py."""

import json
import shutil
from pathlib import Path

import pytest
from recipe.binarise import DICTIONARY
from wmt14 import subwords

from tests.examples.wmt14_de_en.building import load, mirror

prepare = load("prepare")


@pytest.fixture
def quick(monkeypatch):
    """prepare.py without fairseq-preprocess; of each call of it, whether there was a dictionary, and its limit."""
    calls = []

    def binarise(sub, folder, languages, workers, most):
        calls.append(((sub / DICTIONARY).is_file(), most))
        (folder / "dict.de.txt").touch()

    monkeypatch.setattr(prepare, "binarise", binarise)
    return calls


def run(place, output, *more):
    arguments = ["--mirror", place, "--checksums", place / mirror.CHECKSUMS, "--output", output, "--workers", 1, *more]
    return prepare.main(list(map(str, arguments)))


def built(out):
    return [line.split(":")[0].split()[-1] for line in out.splitlines() if line.endswith(": done")]


def test_from_the_mirror_to_the_text_it_was_made_from(place, vocabulary, quick, tmp_path, capsys):
    out = tmp_path / "paper"
    assert run(place, out, "--wordpiece-model", vocabulary) == 0
    assert built(capsys.readouterr().out) == ["raw/", "sub/", "bin/"]
    for path in (place / "raw").iterdir():
        expected = [" ".join(line.split()) for line in path.read_text(encoding="utf-8").splitlines()]
        assert (out / "raw" / path.name).read_text(encoding="utf-8").splitlines() == expected
    report = json.loads((out / "report.json").read_text())
    corpora = report["corpora"]
    assert [own["read"] for own in corpora.values()] == [169, 213, 18, 15, 15, 20]
    assert sum(own["kept"] for own in corpora.values() if own["split"] == "train") == report["totals"]["train"] < 400
    assert all(own["read"] == own["kept"] + sum(own["dropped"].values()) for own in corpora.values())
    recipe = json.loads((out / "recipe.json").read_text())
    assert (recipe["recipe"], recipe["bpe"], recipe["tokenizer"]) == ("paper", "wordpiece", None)
    assert (out / recipe["bpe_model"]).is_file() and quick == [(True, None)]
    assert recipe["normalisation"]["form"] == "NFC" and set("abe ") < set(recipe["normalisation"]["characters"])
    assert max(len(text.split()) for pair in subwords.read(out / "sub", "train") for text in pair) <= 50
    assert len(list(subwords.read(out / "sub", "test"))) == 20


def test_steps_are_done_once_and_again_when_options_change(place, quick, tmp_path, capsys):
    out = tmp_path / "strong"
    options = ["--recipe", "strong", "--vocab-size", "120"]
    changes = [
        ([], ["raw/", "sub/", "bin/"]),
        ([], []),
        (["--max-pieces", "40"], ["sub/", "bin/"]),
        (["--max-pieces", "40", "--vocab-size", "130"], ["sub/", "bin/"]),
        (["--max-ratio", "3"], ["raw/", "sub/", "bin/"]),
        (["--max-ratio", "3", "--force"], ["raw/", "sub/", "bin/"]),
    ]
    for more, expected in changes:
        assert run(place, out, *options, *more) == 0
        assert built(capsys.readouterr().out) == expected, more
    shutil.rmtree(out / "sub")
    assert run(place, out, *options, "--max-ratio", "3") == 0
    assert built(capsys.readouterr().out) == ["sub/"]
    assert quick[0] == (False, 120)


def test_a_changed_vocabulary_file_is_noticed(place, vocabulary, quick, tmp_path, capsys):
    own = tmp_path / "vocab.txt"
    own.write_text(vocabulary.read_text(encoding="utf-8") + "ab\n", encoding="utf-8")
    for expected in (["raw/", "sub/", "bin/"], []):
        assert run(place, tmp_path / "out", "--wordpiece-model", own) == 0
        assert built(capsys.readouterr().out) == expected
    shutil.copyfile(vocabulary, own)
    assert run(place, tmp_path / "out", "--wordpiece-model", own) == 0
    assert built(capsys.readouterr().out) == ["sub/", "bin/"]


def test_download_only(place, tmp_path, capsys, monkeypatch):
    for year in ("wmt12", "wmt13", "wmt14"):
        monkeypatch.setenv(year.upper(), str(place / year))
    arguments = ["--checksums", str(place / mirror.CHECKSUMS), "--output", str(tmp_path / "out"), "--download-only"]
    assert prepare.main([*arguments, "--recipe", "strong"]) == 0
    assert capsys.readouterr().out == "6 archives: done\n"
    # The paper's vocabulary comes from a hub, which a machine that trains may not reach either.
    assert prepare.main([*arguments, "--wordpiece-model", "nowhere.txt"]) == 1
    out, err = capsys.readouterr()
    assert out == "6 archives: done\n" and err.startswith("prepare.sh: --wordpiece-model: nowhere.txt: no such file")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--checksums", "nowhere.json"], "--checksums: cannot read nowhere.json (No such file or directory)"),
        (["--wordpiece-model", "nowhere.txt"], "--wordpiece-model: nowhere.txt: no such file or folder"),
        (["--output", "/proc/wmt"], "cannot write to /proc/wmt ("),
    ],
)
def test_mistakes_end_before_any_work(place, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(prepare, "make_splits", None)
    monkeypatch.chdir(tmp_path)
    assert prepare.main(["--mirror", str(place), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"prepare.sh: {message}") and error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--vocab-size", "9"], "--vocab-size belongs to --recipe strong"),
        (["--recipe", "strong", "--wordpiece-model", "x"], "--wordpiece-model belongs to --recipe paper"),
        (["--max-ratio", "0.5"], "argument --max-ratio: 0.5 is less than 1"),
    ],
)
def test_options_that_contradict(capsys, arguments, message):
    with pytest.raises(SystemExit):
        prepare.main(arguments)
    assert capsys.readouterr().err.endswith(f"error: {message}\n")


def test_a_failed_step_leaves_the_old_data(place, quick, tmp_path, capsys):
    own = Path(shutil.copytree(place, tmp_path / "own"))
    options = ["--recipe", "strong", "--vocab-size", "120"]
    assert run(own, tmp_path / "out", *options) == 0
    (own / "wmt14/test-full.tgz").unlink()
    before = (tmp_path / "out/raw/test.de").read_bytes()
    assert run(own, tmp_path / "out", *options, "--max-words", "100") == 1
    assert "no archive" in capsys.readouterr().err
    assert (tmp_path / "out/raw/test.de").read_bytes() == before
    assert run(own, tmp_path / "out", *options) == 0
