"""``Translator``, as a Python program uses it; the engines themselves are in test_translate.py and test_translate_model.py."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from fairseq_ringformer.cli.main import main
from fairseq_ringformer.errors import UserError
from fairseq_ringformer.text import Translator

TEXTS = ["eins zwei.", "", "drei.\n\nvier fünf. sechs.\r\nsieben.", "acht neun null."]


@pytest.fixture(params=["exported", "checkpoint"])
def translator(request, toy, exported):
    path = {"exported": exported, "checkpoint": toy.run / "checkpoint_last.pt"}[request.param]
    with Translator(path, device="cpu", threads=1) as found:
        yield found


def test_texts_in_texts_out(translator):
    translated = translator.translate(TEXTS, beam=3, nbest=2)
    assert translator.languages == ("de", "en")
    assert [found.text for found in translated] == [
        "one two.",
        "",
        "three.\n\nfour five. six.\nseven.",
        "eight nine zero.",
    ]
    assert [found.source for found in translated] == TEXTS and translated[1].hypotheses == []
    assert [source for source, _ in translated[2].pieces] == ["drei.", "vier fünf.", "sechs.", "sieben."]
    best, second = translated[0].hypotheses
    assert best.text != second.text and 0 > best.score >= second.score and best.alignment is None
    assert translator.translate(iter(TEXTS), beam=3, nbest=2) == translated


def test_a_stream_is_translated_as_it_comes(translator):
    taken = []
    endless = (taken.append(number) or ("eins.", "zwei.")[number % 2] for number in range(10**9))
    stream = translator.stream(endless, buffer_size=3, beam=1)
    assert [next(stream).text for _ in range(4)] == ["one.", "two.", "one.", "two."]
    assert len(taken) == 6


def test_threads_get_their_own_translations(translator):
    words = dict(zip("null eins zwei drei vier".split(), "zero one two three four".split()))
    jobs = [(beam, [f"{word}." for word in list(words)[: 1 + start % 5]]) for start in range(12) for beam in (1, 3)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda job: translator.translate(job[1], beam=job[0]), jobs))
    for (_, texts), translated in zip(jobs, found, strict=True):
        assert [line.text for line in translated] == [f"{words[text[:-1]]}." for text in texts]


@pytest.mark.parametrize("beam", [1, 3])
def test_alignments_of_both_engines(toy, exported, beam):
    """Rows are the last level's cross-attention: as fairseq returns it, whatever else is in the batch."""
    texts = ["eins zwei. drei vier.", "sechs.", "eins drei neun null acht."]
    found = []
    for path in (exported, toy.run / "checkpoint_last.pt"):
        with Translator(path, device="cpu", threads=1) as translator:
            translated = translator.translate(texts, beam=beam, nbest=beam, alignment=True)
            found.append([hypothesis for line in translated for hypothesis in line.hypotheses])
    assert len(found[0]) == 3 * beam
    for one, other in zip(*found, strict=True):
        alignment, expected = one.alignment, other.alignment
        assert one.text == other.text == "".join(alignment.target).replace("▁", " ").strip()
        assert (alignment.source, alignment.target) == (expected.source, expected.target)
        assert all(0 < sum(row) < 1 + 1e-5 for row in alignment.weights)
        for row, right in zip(alignment.weights, expected.weights, strict=True):
            assert row == pytest.approx(right, abs=1e-4)
    # Each sentence looked at itself alone.
    first = found[0][0].alignment.weights
    assert first[0][-1] == first[-1][0] == 0 < min(first[0][0], first[-1][-1])


def test_mistakes(toy, exported, tmp_path, monkeypatch):
    with Translator(exported, device="cpu", threads=1) as translator:
        with pytest.raises(TypeError, match="a list of them"):
            translator.translate("eins.")
        with pytest.raises(UserError, match="2 hypotheses need a beam"):
            translator.translate(["eins."], beam=1, nbest=2)
        with pytest.raises(UserError, match="buffer_size 0 must be at least 1"):
            translator.stream(["eins."], buffer_size=0)
    with pytest.raises(ValueError, match="closed"):
        translator.translate(["eins."])
    with pytest.raises(TypeError, match="autocast"):
        Translator(exported, autocast="bf16")
    monkeypatch.setitem(sys.modules, "fairseq", None)  # on a machine without it, too
    with pytest.raises(UserError, match="nothing: no such checkpoint, nor folder of an exported model"):
        Translator(tmp_path / "nothing")


def test_export_needs_dictionaries_alone(toy, ringformer, tmp_path):
    (tmp_path / "dictionaries").mkdir()
    for name in ("dict.de.txt", "dict.en.txt"):
        (tmp_path / "dictionaries" / name).write_bytes((toy.data / name).read_bytes())
    arguments = [
        "export",
        "--path",
        toy.run / "checkpoint_last.pt",
        "--to",
        "ctranslate2",
        "--output",
        tmp_path / "model",
    ]
    cut = ["--dict", tmp_path / "dictionaries", "--sentencepiece-model", toy.root / "toy.model", "-s", "de", "-t", "en"]
    assert main([str(argument) for argument in arguments + cut]) == 0
    assert ringformer("translate", "--model", tmp_path / "model", "eins zwei.")[1] == "one two.\n"
