"""fairseq's data of sub-word files: one dictionary, of the size asked for."""

import pytest
from recipe.binarise import DICTIONARY, binarise

from fairseq_ringformer.errors import UserError

LANGUAGES = ("de", "en")


@pytest.fixture
def sub(tmp_path):
    folder = tmp_path / "sub"
    folder.mkdir()
    for split in ("train", "valid", "test"):
        for language, words in (("de", "a a a b b c"), ("en", "a a b d d e")):
            (folder / f"{split}.{language}").write_text(words + "\n")
    return folder


def entries(folder):
    german, english = ((folder / f"dict.{language}.txt").read_text().splitlines() for language in ("de", "en"))
    assert german == english
    # fairseq fills a dictionary of its own up to a multiple of 8.
    return [line.split()[0] for line in german if not line.startswith("madeupword")]


def test_one_dictionary_of_the_most_frequent(sub, tmp_path):
    binarise(sub, tmp_path / "two", LANGUAGES, most=2)
    assert entries(tmp_path / "two") == ["a", "b"]
    assert {path.name for path in (tmp_path / "two").glob("*.idx")} == {
        f"{split}.de-en.{language}.idx" for split in ("train", "valid", "test") for language in ("de", "en")
    }


def test_the_vocabularys_own_dictionary(sub, tmp_path):
    (sub / DICTIONARY).write_text("e 1\nunseen 1\n")
    binarise(sub, tmp_path / "own", LANGUAGES, most=1)
    assert entries(tmp_path / "own") == ["e", "unseen"]


def test_what_fairseq_refuses(sub, tmp_path):
    (sub / "valid.en").unlink()
    with pytest.raises(UserError, match=r"fairseq-preprocess failed \(.*valid.en.*\): run it by hand on .*sub to see"):
        binarise(sub, tmp_path / "bin", LANGUAGES)
