"""What is particular to ``ringformer translate --model``; what both engines do is in test_translate.py."""

import argparse
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_ringformer.export.runtime import layout
from fairseq_ringformer.text import ctranslate2_engine
from fairseq_ringformer.text.ctranslate2_engine import CTranslate2Engine
from fairseq_ringformer.text.stream import Search, batches
from fairseq_ringformer.text.subwords import Subwords, build_codec

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def both(toy, exported, ringformer):
    """Run ``ringformer translate`` with both engines; what they print."""
    checkpoint = ("--path", toy.run / "checkpoint_last.pt", "--data", toy.data)

    def run(*arguments):
        results = [ringformer("translate", *model, *arguments) for model in (checkpoint, ("--model", exported))]
        assert all((status, err) == (0, "") for status, _, err in results)
        return [[json.loads(line) for line in out.splitlines()] for _, out, _ in results]

    return run


@pytest.mark.parametrize(
    "flags",
    [
        ("--beam", 1),
        ("--beam", 4, "--nbest", 2),
        ("--beam", 3, "--lenpen", 0.3),
        ("--beam", 3, "--lenpen", 0, "--nbest", 2),
        ("--beam", 5, "--lenpen", 2.5),
    ],
)
def test_engines_agree(toy, both, flags):
    """The same hypotheses and scores, n-best too, whatever the penalty on length.

    This little model gives padding a probability of up to a thousandth in every token, which only fairseq counts.
    """
    fairseq, ctranslate2 = both("--json", "--input", toy.root / "valid.de", *flags)
    assert len(fairseq) == len(ctranslate2) == 10
    for expected, found in zip(fairseq, ctranslate2):
        assert [own["text"] for own in found["hypotheses"]] == [own["text"] for own in expected["hypotheses"]]
        scores = [own["score"] for own in expected["hypotheses"]]
        assert [own["score"] for own in found["hypotheses"]] == pytest.approx(scores, abs=1e-2)


def test_an_output_without_end_is_cut_where_fairseq_cuts(toy, exported, both, monkeypatch):
    monkeypatch.setattr(ctranslate2_engine, "longest_output", lambda length: 3)
    from fairseq_ringformer.text import fairseq_engine

    monkeypatch.setattr(fairseq_engine, "longest_output", lambda length: 3)
    fairseq, ctranslate2 = both("--json", "--beam", 1, "eins zwei drei vier fünf.")
    (expected,), (found,) = fairseq[0]["hypotheses"], ctranslate2[0]["hypotheses"]
    assert found["text"] == expected["text"] and found["text"]


def test_special_symbols_in_the_text_are_text(toy, ringformer, tmp_path):
    path = ("--path", toy.run / "checkpoint_last.pt", "--data", toy.data, "--bpe", "none")
    assert ringformer("export", *path, "--to", "ctranslate2", "--output", tmp_path / "model")[0] == 0
    lines = ("<pad> ▁ei n s .", "</s>", "</s> ▁ei n s .")
    outputs = [ringformer("translate", *model, *lines) for model in (path, ("--model", tmp_path / "model"))]
    assert outputs[0] == outputs[1] and outputs[0][1].count("\n") == 3


@pytest.mark.parametrize(
    "subwords",
    [
        Subwords(None, None, None),
        Subwords(None, None, "moses"),
        Subwords("sentencepiece", "toy.model", None),
        Subwords("sentencepiece", "toy.model", "moses"),
        Subwords("subword_nmt", "codes", None),
        Subwords("subword_nmt", "codes", "moses"),
        Subwords("wordpiece", "vocab.txt", None),
        Subwords("wordpiece", "vocab.txt", "moses"),
    ],
    ids=str,
)
def test_text_is_cut_as_fairseq_cuts_it(toy, tmp_path, subwords):
    from fairseq.data import encoders

    import fairseq_ringformer.models.wordpiece  # noqa: F401  registers it

    (tmp_path / "codes").write_text("#version: 0.2\ne i\nei n</w>\nb i\n", encoding="utf-8")
    vocabulary = ("[UNK]", "[MASK]", *"ein,&»«.-3", "##e", "##i", "##n")
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    shutil.copy(toy.root / "toy.model", tmp_path)
    model = subwords.model and str(tmp_path / subwords.model)
    codec = build_codec(Subwords(subwords.bpe, model, subwords.tokenizer), "de", "en")
    options = argparse.Namespace(
        tokenizer=subwords.tokenizer,
        bpe=subwords.bpe,
        source_lang="de",
        target_lang="en",
        sentencepiece_model=model,
        bpe_codes=model,
        wordpiece_model=model,
    )
    tokenizer, bpe = encoders.build_tokenizer(options), encoders.build_bpe(options)
    for text in ("ein, zwei & »drei« bin-ein.", "", "  zwei   Wörter\t!", "3. Mai, z. B. <unk> x@@ y", "\u2581 a"):
        expected = text if tokenizer is None else tokenizer.encode(text)
        expected = expected if bpe is None else bpe.encode(expected)
        assert codec.encode(text) == expected
        back = expected if bpe is None else bpe.decode(expected)
        assert codec.decode(expected) == (back if tokenizer is None else tokenizer.decode(back))


@pytest.mark.parametrize(
    "threads, wanted, megabytes, alone, expected",
    [
        (2, None, 5, False, (2, 1)),
        (2, None, 5, True, (2, 1)),
        (2, None, 500, False, (2, 1)),
        (8, None, 500, True, (1, 8)),
        (8, 2, 500, True, (2, 4)),
        (8, 3, 5, False, (3, 2)),
        (1, 4, 5, False, (4, 1)),
    ],
)
def test_layout(threads, wanted, megabytes, alone, expected):
    assert layout(threads, wanted, megabytes * 10**6, alone) == expected


def test_a_gpu_has_one_translator_unless_told_otherwise():
    assert layout(64, None, 5 * 10**6, gpu=True) == (1, 64)
    assert layout(64, 4, 5 * 10**6, gpu=True) == (4, 16)


def test_scores_are_numbers_where_the_empty_translation_has_all_probability(exported):
    engine = CTranslate2Engine(str(exported), Search(), "cpu", threads=1)
    result = argparse.Namespace(hypotheses=[["a", "</s>"]], scores=[-3.0])
    for empty in (0.0, 1e-9, -1e-12):
        (found,) = engine._hypotheses(result, empty)
        assert -40 < found.score < 0


def test_threads_and_translators_change_nothing_but_speed(toy, exported, ringformer):
    command = ("translate", "--model", exported, "--input", toy.root / "train.de", "--json", "--batch-size", 16)
    expected = ringformer(*command, "--threads", 1)
    assert expected[0] == 0 and expected[1].count("\n") == 200
    lines = [json.loads(line) for line in expected[1].splitlines()]
    for flags in ((), ("--threads", 2, "--translators", 1), ("--translators", 3), ("--buffer-size", 7)):
        status, out, err = ringformer(*command, *flags)
        assert (status, err) == (0, "")
        for left, right in zip(lines, map(json.loads, out.splitlines()), strict=True):
            assert left["hypotheses"][0]["text"] == right["hypotheses"][0]["text"]


def test_translators_have_the_threads_they_were_given(exported):
    engine = CTranslate2Engine(str(exported), Search(), "cpu", threads=4, translators=2)
    assert engine.translator.num_translators == 2


def test_scores_only_on_request(exported):
    for beam in (1, 2):
        engine = CTranslate2Engine(str(exported), Search(beam), "cpu", 1, scores=False)
        ((hypothesis,),) = engine.translate(["eins zwei."])
        assert hypothesis.text == "one two." and math.isnan(hypothesis.score)


def test_batches_are_of_like_length():
    lengths = [5, 1, 9, 3, 400, 9, 2]
    found = list(batches(lengths, size=3, max_tokens=20))
    assert found == [[4], [2, 5], [0, 3, 6], [1]]


def test_flags_of_the_other_engine_are_refused(toy, exported, refused):
    checkpoint = ("--path", toy.run / "checkpoint_last.pt")
    assert "--path needs --data DIR" in refused("translate", *checkpoint, "eins")
    message = refused("translate", *checkpoint, "--data", toy.data, "--translators", 2, "eins")
    assert "--translators needs --model: fairseq translates one batch at a time" in message
    model = ("translate", "--model", exported, "eins")
    for flag, value in (
        ("--data", toy.data),
        ("--bpe", "none"),
        ("--sentencepiece-model", "x"),
        ("--bpe-codes", "x"),
        ("--tokenizer", "moses"),
        ("--source-lang", "de"),
        ("--target-lang", "en"),
    ):
        assert f"{flag} needs --path: an exported model knows how its text is cut" in refused(*model, flag, value)
    assert "--translators 3 needs --threads of at least 3" in refused(*model, "--translators", 3, "--threads", 2)
    assert "--device nonsense: choose cpu, cuda, cuda:1 ... or auto" in refused(*model, "--device", "nonsense")
    assert "--device cuda:77: CTranslate2 finds no such device here" in refused(*model, "--device", "cuda:77")


def test_one_engine_at_a_time(toy, exported, ringformer, capsysbinary):
    for flags, message in (
        ((), "one of the arguments --path --model is required"),
        (("--path", "a.pt", "--model", exported), "argument --model: not allowed with argument --path"),
    ):
        with pytest.raises(SystemExit) as error:
            ringformer("translate", "eins", *flags)
        assert error.value.code == 2 and message in capsysbinary.readouterr().err.decode()


def test_damaged_models(exported, refused, tmp_path):
    def refusal():
        return refused("translate", "eins", "--model", tmp_path / "model")

    assert "model: no such model folder" in refusal()
    (tmp_path / "model").mkdir()
    assert "model: no model of ringformer export --to ctranslate2" in refusal()
    shutil.copytree(exported, tmp_path / "model", dirs_exist_ok=True)
    weights = tmp_path / "model" / "model.bin"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "CTranslate2 cannot load it" in refusal() and "export the model again" in refusal()
    (tmp_path / "model" / "sentencepiece.model").write_bytes(b"nothing of the kind")
    assert "sentencepiece.model: not a model of sentencepiece" in refusal()
    (tmp_path / "model" / "sentencepiece.model").unlink()
    assert "its sub-word model sentencepiece.model is missing: export the model again" in refusal()


def test_neither_torch_nor_fairseq_is_needed(exported):
    """Where they are not installed, an exported model translates all the same."""
    code = (
        "import importlib.util, sys\n"
        "sys.modules['torch'] = sys.modules['fairseq'] = None\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name in ('torch', 'fairseq') else find(name, *rest)\n"
        "from fairseq_ringformer.cli.main import main\n"
        f"sys.exit(main(['translate', '--model', {str(exported)!r}, 'eins zwei.', '--json']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["hypotheses"][0]["text"] == "one two."
