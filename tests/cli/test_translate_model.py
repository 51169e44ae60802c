"""What is particular to ``ringformer translate --model``; what both engines do is in test_translate.py."""

import argparse
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_ringformer.text import ctranslate2_engine
from fairseq_ringformer.text.ctranslate2_engine import CTranslate2Engine
from fairseq_ringformer.text.stream import Search

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
    for lines in zip(fairseq, ctranslate2):
        texts, scores = ([[found[key] for found in line["hypotheses"]] for line in lines] for key in ("text", "score"))
        assert texts[0] == texts[1] and scores[0] == pytest.approx(scores[1], abs=1e-2)


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


def test_scores_are_numbers_where_the_empty_translation_has_all_probability(exported):
    engine = CTranslate2Engine(str(exported), "cpu", threads=1)
    result = argparse.Namespace(hypotheses=[["a", "</s>"]], scores=[-3.0], attention=[])
    for empty in (0.0, 1e-9, -1e-12):
        (found,) = engine._hypotheses([], result, empty, 1.0)
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
    engine = CTranslate2Engine(str(exported), "cpu", threads=4, translators=2)
    assert engine.translator.num_translators == 2


def test_scores_only_on_request(exported):
    for beam in (1, 2):
        engine = CTranslate2Engine(str(exported), "cpu", 1)
        ((hypothesis,),) = engine.translate(["eins zwei."], Search(beam, scores=False))
        assert hypothesis.text == "one two." and math.isnan(hypothesis.score)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--bpe-codes", "x"), "--bpe-codes needs --path"),
        (("--source-lang", "de"), "--source-lang needs --path"),
        (("--translators", 3, "--threads", 2), "--translators 3 needs --threads of at least 3"),
        (("--device", "nonsense"), "--device nonsense: choose cpu, cuda, cuda:1 ... or auto"),
        (("--device", "cuda:²"), "--device cuda:²: choose cpu, cuda, cuda:1 ... or auto"),
        (("--device", "cuda:77"), "--device cuda:77: CTranslate2 finds no such device here"),
    ],
)
def test_mistakes(exported, refused, flags, text):
    assert text in refused("translate", "--model", exported, "eins", *flags)


@pytest.mark.parametrize(
    "command, flag",
    [
        *((command, flag) for command in ("translate", "benchmark") for flag in ("--threads", "--translators")),
        ("predict", "--threads"),
        ("train", "--processes"),
        ("study", "--jobs"),
    ],
)
def test_more_threads_than_a_machine_bears(ringformer, command, flag, capsysbinary):
    with pytest.raises(SystemExit) as status:
        ringformer(command, flag, 100_000)
    assert status.value.code == 2
    assert f"argument {flag}: 100000 is too many for " in capsysbinary.readouterr().err.decode()


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
    recipe = json.loads((exported / "recipe.json").read_text())
    for change, text in (
        ({"bpe": ["x"]}, "model: unknown kind of sub-words ['x']"),
        ({"bpe_model": None}, "its sub-word model None is missing"),
        ({"bpe": None, "tokenizer": "nltk"}, "unknown tokenizer 'nltk'"),
        ({"max_source_tokens": "many"}, "no model of ringformer export"),
    ):
        (tmp_path / "model" / "recipe.json").write_text(json.dumps({**recipe, **change}))
        assert text in refusal()


DEPLOYED = """
import importlib.machinery, importlib.metadata, sys
lacking = set(importlib.metadata.packages_distributions())
lacking -= {"fairseq_ringformer", "ctranslate2", "sentencepiece", "sentencex", "numpy", "yaml", "setuptools"}

class Deployed(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in lacking else super().find_spec(name, path, target)

sys.meta_path = [Deployed if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
from fairseq_ringformer.cli.main import main
sys.exit(main(["translate", "--model", sys.argv[1], "eins zwei.", "--json"]))
"""


def test_the_extra_deploy_is_enough(exported):
    """An exported model translates where nothing else is installed, neither torch nor fairseq."""
    command = [sys.executable, "-c", DEPLOYED, str(exported)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["hypotheses"][0]["text"] == "one two."
