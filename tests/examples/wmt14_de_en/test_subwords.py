"""Sub-words: what is learnt, what is cut, which pairs are too long."""

import os

import pytest
from wmt14 import subwords

from fairseq_ringformer.errors import UserError
from tests.examples.wmt14_de_en.building import SIZES, write_text


def test_long_pairs_are_dropped_from_the_training_text_alone(tmp_path, vocabulary):
    pairs = [("a" * german, "b" * english) for german, english in ((50, 50), (51, 1), (1, 51), (1, 1))]
    write_text(tmp_path / "raw", {"train": [*pairs, ("\u200b", "b")], "valid": pairs, "test": pairs})
    (tmp_path / "sub").mkdir()
    subwords.learn(tmp_path / "raw", tmp_path / "sub", subwords.Vocabulary("wordpiece", name=str(vocabulary)), 5, 1)
    counts = subwords.cut(tmp_path / "raw", tmp_path / "sub", "wordpiece", {"x": 3, "y": 2}, 50, 1)
    assert counts == {
        "x": {"kept": 1, "dropped": {"more than 50 sub-words": 2}, "pieces": {"de": 50, "en": 50}},
        "y": {"kept": 1, "dropped": {"no sub-words": 1}, "pieces": {"de": 1, "en": 1}},
    }
    lengths = {
        split: [[len(side.split()) for side in pair] for pair in subwords.read(tmp_path / "sub", split)]
        for split in subwords.SPLITS
    }
    assert lengths["train"] == [[50, 50], [1, 1]]
    assert lengths["valid"] == lengths["test"] == [[50, 50], [51, 1], [1, 51], [1, 1]]
    entries = (tmp_path / "sub" / subwords.DICTIONARY).read_text(encoding="utf-8").splitlines()
    assert len(entries) + 4 == len(vocabulary.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("kind, size", [("sentencepiece", 120), ("subword_nmt", 300)])
def test_workers_do_not_change_what_is_cut(place, tmp_path, monkeypatch, kind, size):
    monkeypatch.setattr(subwords, "CHUNK", 50)
    contents = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        subwords.learn(place / "raw", folder, subwords.Vocabulary(kind, size, 1000), SIZES["train"], workers)
        counts = subwords.cut(place / "raw", folder, kind, {"x": SIZES["train"]}, 100, workers)
        assert counts["x"]["kept"] == SIZES["train"]
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1] and len(contents[0]) == 7
    pieces = {piece for pair in subwords.read(folder, "train") for text in pair for piece in text.split()}
    assert 50 < len(pieces) <= size


def test_a_worker_that_dies_is_reported():
    with pytest.raises(UserError, match="a worker process died"):
        with subwords._workers(2, subwords.Subwords(None, None, None)) as run:
            list(run(os._exit, iter([9])))


def test_rare_characters_are_not_learnt():
    words = subwords.Counter({"ab": 5000, "abc": 4, "x": 1})
    assert subwords._common_characters(words) == {"a", "b", "c"}


def test_vocabularies_that_do_not_fit(refused, place, tmp_path):
    for kind in ("sentencepiece", "subword_nmt"):
        error = refused(subwords.learn, place / "raw", tmp_path, subwords.Vocabulary(kind, 5, 100), 400, 1)
        assert error.startswith("--vocab-size 5 is too small for the characters of this text")
