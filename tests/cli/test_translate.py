import argparse
import io
import json
import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fairseq_ringformer.text.stream import Hypothesis, read_lines, sentences, split_long, translate_lines

from .conftest import sentence
from .dictionaries import turn

ROOT = Path(__file__).resolve().parents[2]


class Words:
    """An engine that shouts: its tokens are words, a word of more than 8 letters is one for each letter."""

    def __init__(self, max_tokens=10):
        self.max_tokens = max_tokens
        self.calls = []

    def count(self, text):
        return sum(len(word) if len(word) > 8 else 1 for word in text.split())

    def translate(self, lines):
        self.calls.append(lines)
        assert all(0 < self.count(line) <= self.max_tokens for line in lines)
        return [[Hypothesis(line.upper(), -1.0), Hypothesis(line, -2.0)] for line in lines]


def shout(lines, buffer_size=100, engine=None):
    notes = []
    found = list(translate_lines(lines, engine or Words(), buffer_size, notes.append))
    return found, notes


def test_lines_keep_their_number():
    lines = ["one", "", "two words", "   ", "three", "\u200b\t"]
    found, notes = shout(lines, buffer_size=2)
    assert [line.number for line in found] == [1, 2, 3, 4, 5, 6]
    assert [line.source for line in found] == lines
    assert [line.text for line in found][:5] == ["ONE", "", "TWO WORDS", "", "THREE"]
    assert notes == []


def test_lines_stream_in_buffers():
    taken, engine = [], Words()
    endless = (taken.append(number) or f"line {number}" for number in range(10**9))
    found = translate_lines(endless, engine, 3, print)
    assert [next(found).text for _ in range(4)] == ["LINE 0", "LINE 1", "LINE 2", "LINE 3"]
    assert len(taken) == 6 and [len(call) for call in engine.calls] == [3, 3]


def test_long_line_goes_in_pieces():
    line = "This is one. And two! What of three? It goes on."
    found, notes = shout(["short", line, "short"], engine=Words(max_tokens=5))
    assert [own.text for own in found] == ["SHORT", line.upper(), "SHORT"]
    assert found[1].pieces == 4 and found[1].hypotheses[1] == Hypothesis(line, -2.0)
    assert notes == ["line 2: 11 tokens, the model takes 5: translated in 4 pieces"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Guten Tag! Wie geht es? Gut.", ["Guten Tag!", "Wie geht es?", "Gut."]),
        ("Am 3. Mai kam er, z. B. um 3 Uhr. Er ging.", ["Am 3. Mai kam er, z. B. um 3 Uhr.", "Er ging."]),
        ("„Komm!“ Er kam. (Sie auch.) Ende", ["„Komm!“", "Er kam.", "(Sie auch.)", "Ende"]),
        ("Version 2.0 ist da… Endlich", ["Version 2.0 ist da…", "Endlich"]),
        ("你好。再见！", ["你好。", "再见！"]),
        ("ohne Ende", ["ohne Ende"]),
        ("", []),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 9, 64])
def test_pieces_fit_and_nothing_is_lost(limit):
    rng = random.Random(limit)
    words = ["w" * rng.choice([1, 2, 3, 8, 9, 30]) + rng.choice(["", "", ".", "!"]) for _ in range(200)]
    count = Words().count
    pieces = split_long(" ".join(words), count, limit)
    assert all(count(piece) <= limit for piece in pieces)
    assert "".join(pieces).replace(" ", "") == "".join(words)
    if limit == 64:  # words stay whole where they fit
        assert " ".join(pieces).split() == words


def test_pieces_are_full():
    assert [len(piece.split()) for piece in split_long("a " * 25, Words().count, 10)] == [10, 10, 5]


def test_splitting_counts_little():
    counted = []

    def count(text):
        counted.append(len(text.split()))
        return counted[-1]

    split_long("word " * 20_000, count, 1000)
    assert sum(counted) < 20_000 * 30


def test_reading_bytes():
    notes = []
    data = b"\xef\xbb\xbffirst\r\nsecond \xff\xfe\n\xef\xbb\xbfthird\n\nB\xc3\xa4r\xe2\x80\xa8en"
    lines = list(read_lines(io.BytesIO(data), notes.append))
    assert lines == ["first", "second \ufffd\ufffd", "\ufeffthird", "", "Bär\u2028en"]
    assert notes == ["line 2: not UTF-8 in places, replaced by \ufffd"]


@pytest.fixture
def with_fairseq(toy, ringformer):
    """Run ``ringformer translate`` with the toy's checkpoint."""

    def run(*arguments, path=None):
        return ringformer("translate", "--path", path or toy.run / "checkpoint_last.pt", "--data", toy.data, *arguments)

    return run


@pytest.fixture(params=["fairseq", "ctranslate2"])
def translate(request, ringformer):
    """Run ``ringformer translate`` with either engine and the same model: nothing tells them apart."""
    if request.param == "fairseq":
        return request.getfixturevalue("with_fairseq")
    exported = request.getfixturevalue("exported")
    return lambda *arguments: ringformer("translate", "--model", exported, *arguments)


def test_the_model_translates(translate):
    status, out, err = translate("eins zwei.", "sieben.")
    assert (status, out, err) == (0, "one two.\nseven.\n", "")


def test_order_is_kept_whatever_the_batches(translate, tmp_path):
    rng = random.Random(3)
    lines = [sentence(rng.choices(range(10), k=rng.randint(1, 4)))[0] for _ in range(40)]
    lines[7] = lines[20] = ""
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    status, alone, _ = translate("--input", tmp_path / "in.txt", "--batch-size", 1)
    assert status == 0 and alone.count("\n") == 40 and len(set(alone.split("\n"))) > 20
    assert alone.split("\n")[7] == alone.split("\n")[20] == ""
    for flags in (("--batch-size", 7), ("--max-tokens", 40), ("--buffer-size", 9), ()):
        assert translate("--input", tmp_path / "in.txt", *flags) == (0, alone, ""), flags


def test_agrees_with_fairseqs_own_search(toy, translate, capsysbinary):
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq_cli import generate

    path = str(toy.run / "checkpoint_last.pt")
    arguments = [str(toy.data), "--path", path, "--gen-subset", "valid", "--cpu", "--num-workers", "0"]
    arguments += ["--remove-bpe", "sentencepiece", "--required-batch-size-multiple", "1"]
    args = options.parse_args_and_arch(options.get_generation_parser(), input_args=arguments)
    generate.main(convert_namespace_to_omegaconf(args))
    rows = [line[2:].split("\t") for line in capsysbinary.readouterr().out.decode().split("\n") if line[:2] == "H-"]
    expected = {int(number): (text, float(score)) for number, score, text in rows}
    status, out, _ = translate("--input", toy.root / "valid.de", "--json")
    assert status == 0 and len(expected) == 10
    for line in map(json.loads, out.splitlines()):
        (own,) = line["hypotheses"]
        text, score = expected[line["line"] - 1]
        assert own["text"] == text and own["score"] == pytest.approx(score, abs=1e-3)


def test_long_line_is_its_pieces_joined(translate):
    parts = ["Eins zwei drei.", "Vier fünf sechs.", "Sieben acht."] * 3
    status, whole, err = translate(" ".join(parts), "eins.")
    assert status == 0 and err.startswith("ringformer translate: line 1: ") and "the model takes 23" in err
    assert err.endswith("translated in 9 pieces\n")
    _, pieces, _ = translate(*parts)
    assert whole == pieces[:-1].replace("\n", " ") + "\none.\n"


def test_bytes_that_are_no_utf8(translate, tmp_path):
    (tmp_path / "in.txt").write_bytes(b"\xef\xbb\xbfeins.\r\nzw\xffei.\r\nacht.")
    status, out, err = translate("--input", tmp_path / "in.txt")
    lines = out.split("\n")
    assert status == 0 and len(lines) == 4 and (lines[0], lines[2], lines[3]) == ("one.", "eight.", "")
    assert err == "ringformer translate: line 2: not UTF-8 in places, replaced by \ufffd\n"


def test_blank_text(translate):
    assert translate("", " ", "eins.", "\t") == (0, "\n\none.\n\n", "")


def test_special_symbols_in_the_text_are_text(with_fairseq):
    status, out, _ = with_fairseq("<pad>", "</s>", "--bpe", "none")
    assert status == 0 and out.count("\n") == 2


def test_json_lines(translate):
    status, out, _ = translate("fünf.", "", "--json", "--nbest", 3, "--beam", 4)
    first, second = map(json.loads, out.splitlines())
    assert status == 0 and "fünf" in out
    assert (first["line"], first["source"], first["pieces"]) == (1, "fünf.", 1)
    assert first["hypotheses"][0]["text"] == "five." and len(first["hypotheses"]) == 3
    scores = [own["score"] for own in first["hypotheses"]]
    assert scores == sorted(scores, reverse=True) and scores[0] < 0
    assert second == {"line": 2, "source": "", "hypotheses": [], "pieces": 0}


def test_ensemble(toy, with_fairseq):
    paths = [str(toy.run / f"checkpoint{epoch}.pt") for epoch in (20, 30)]
    scores = [
        json.loads(with_fairseq("eins drei.", "--json", path=path)[1])["hypotheses"][0]["score"]
        for path in (*paths, ":".join(paths), ":".join([paths[1]] * 2))
    ]
    assert scores[2] not in scores[:2] and scores[3] == pytest.approx(scores[1], abs=1e-3)


def test_output_file_and_standard_input(translate, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("fünf.\neins".encode())))
    assert translate("--output", tmp_path / "out.txt") == (0, "", "")
    assert (tmp_path / "out.txt").read_text().startswith("five.\none")


def test_plain_words_and_moses(toy, with_fairseq, tmp_path):
    status, plain, _ = with_fairseq("▁ei n s .", "--bpe", "none")
    assert (status, plain) == (0, "▁ o ne .\n")
    codes = tmp_path / "codes"
    codes.write_text("#version: 0.2\ne i\n", encoding="utf-8")
    status, out, err = with_fairseq("eins zwei", "--bpe-codes", codes, "--tokenizer", "moses")
    assert (status, err) == (0, "") and out.count("\n") == 1


def test_recipe_in_the_data_folder(toy, ringformer, tmp_path):
    for name in ("dict.de.txt", "dict.en.txt"):
        shutil.copy(toy.data / name, tmp_path)
    shutil.copy(toy.root / "toy.model", tmp_path / "own.model")
    recipe = {"bpe": "sentencepiece", "bpe_model": "own.model", "tokenizer": None, "bin": "elsewhere"}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    command = ["translate", "--path", toy.run / "checkpoint_last.pt", "--data", tmp_path, "eins."]
    assert "do not say the languages: add --source-lang and --target-lang" in ringformer(*command)[2]
    assert ringformer(*command, "-s", "de", "-t", "en") == (0, "one.\n", "")


def test_recipe_of_other_data_is_left_alone(toy, refused, tmp_path):
    shutil.copytree(toy.data, tmp_path / "other")
    shutil.copy(toy.root / "recipe.json", tmp_path)
    err = refused("translate", "--path", toy.run / "checkpoint_last.pt", "--data", tmp_path / "other", "eins.")
    assert f"no recipe.json in {tmp_path}/other or beside it: say how its text was cut" in err


def test_wrong_flags(toy, refused, tmp_path):
    command = ["translate", "--path", toy.run / "checkpoint_last.pt", "--data", toy.data]
    model = toy.root / "toy.model"
    (tmp_path / "in.txt").write_text("eins.\n")
    same = tmp_path / "in.txt"
    assert "TEXT and --input exclude each other" in refused(*command, "eins", "--input", same)
    assert "--nbest 6 needs a --beam of at least 6" in refused(*command, "--nbest", 6, "--json")
    assert "--nbest needs --json" in refused(*command, "--nbest", 2)
    assert "--output is the file of --input" in refused(*command, "--input", same, "--output", same)
    assert "no.txt: no such file for --input" in refused(*command, "--input", tmp_path / "no.txt")
    assert "/no: no such folder for --output" in refused(*command, "--output", tmp_path / "no/out.txt")
    assert "is a folder: name a file" in refused(*command, "--output", tmp_path)
    assert "--device nonsense: torch finds no such device" in refused(*command, "--device", "nonsense")
    assert "--bpe sentencepiece needs --sentencepiece-model FILE" in refused(*command, "--bpe", "sentencepiece")
    assert "--bpe-codes contradicts" in refused(*command, "--sentencepiece-model", model, "--bpe-codes", model)
    assert "contradicts --bpe none" in refused(*command, "--sentencepiece-model", model, "--bpe", "none")
    assert "no.model: no such sub-word model" in refused(*command, "--sentencepiece-model", tmp_path / "no.model")
    assert same.read_text() == "eins.\n"


def test_damaged_sub_words(toy, refused, tmp_path):
    (tmp_path / "bad").write_bytes(b"\x00nothing of the kind")
    command = ["translate", "--path", toy.run / "checkpoint_last.pt", "--data", toy.data, "eins"]
    for flag in ("--sentencepiece-model", "--bpe-codes"):
        assert f"{tmp_path}/bad: not a model of " in refused(*command, flag, tmp_path / "bad")
    shutil.copytree(toy.data, tmp_path / "bin")
    command[4] = tmp_path / "bin"
    for recipe, text in (("{", "not a recipe"), ('{"bpe": "x", "bpe_model": "y"}', "unknown kind of sub-words 'x'")):
        (tmp_path / "bin" / "recipe.json").write_text(recipe)
        assert text in refused(*command)


def test_missing_data(toy, refused, tmp_path):
    command = ["translate", "eins", "--path", toy.run / "checkpoint_last.pt", "--bpe", "none", "--data"]
    assert "/no: no such data folder" in refused(*command, tmp_path / "no")
    err = refused(*command, tmp_path, "-s", "de", "-t", "en")
    assert f"{tmp_path} has no dict.de.txt: give the folder that fairseq-preprocess has written" in err


def test_other_dictionaries(toy, refused, tmp_path):
    shutil.copytree(toy.data, tmp_path / "bin")
    with (tmp_path / "bin/dict.en.txt").open("a") as stream:
        stream.write("more 1\n")
    path = toy.run / "checkpoint_last.pt"
    err = refused("translate", "eins", "--path", path, "--bpe", "none", "--data", tmp_path / "bin")
    entries = len(torch.load(path, weights_only=True)["model"]["encoder.embed_tokens.weight"])
    assert f"other dictionaries than {path} was trained with: {entries + 1} against {entries} entries on the" in err
    turned = turn(toy.data, tmp_path / "turned", languages=["en"])
    err = refused("translate", "eins", "--path", path, "--bpe", "none", "--data", turned)
    assert f"other dictionaries than {path} was trained with, in {toy.data}: on the target side entry 4 is" in err
    for language, name in (("de", "deu"), ("en", "eng")):  # called otherwise than in training
        (turned / f"dict.{language}.txt").rename(turned / f"dict.{name}.txt")
    named = ("-s", "deu", "-t", "eng", "--bpe", "none", "--data", turned)
    assert "on the target side entry 4 is" in refused("translate", "eins", "--path", path, *named)


def test_a_damaged_dictionary(toy, refused, tmp_path):
    shutil.copytree(toy.data, tmp_path / "bin")
    path = tmp_path / "bin/dict.en.txt"
    command = ["translate", "eins", "--path", toy.run / "checkpoint_last.pt", "--bpe", "none", "--data", path.parent]
    for content, text in ((b"a b c\n", "Incorrect dictionary format"), (b"\xff 1\n", "Incorrect encoding detected")):
        path.write_bytes(content)
        assert f"{path} is not a dictionary of fairseq-preprocess: {text}" in refused(*command)


def test_bad_checkpoints(toy, refused, tmp_path):
    def refusal(path):
        return refused("translate", "eins", "--data", toy.data, "--path", path)

    good = toy.run / "checkpoint_last.pt"
    assert "no.pt: no such checkpoint" in refusal(tmp_path / "no.pt")
    assert "no.pt: no such checkpoint" in refusal(f"{good}:{tmp_path}/no.pt")
    bad = tmp_path / "bad.pt"
    bad.write_bytes(good.read_bytes()[:5000])
    assert "bad.pt: " in refusal(bad) and "damaged" in refusal(bad)
    torch.save({"model": {}, "cfg": Harm(tmp_path / "harm")}, bad)
    assert "nothing in it was executed" in refusal(bad) and not (tmp_path / "harm").exists()
    state = torch.load(good, weights_only=True)
    torch.save({**state, "cfg": None}, bad)
    assert "holds no settings of its task" in refusal(bad)
    torch.save({**state, "cfg": {**state["cfg"], "task": {"_name": "language_modeling"}}}, bad)
    assert "a model for the task language_modeling, translating needs one for translation" in refusal(bad)
    torch.save(
        {**state, "cfg": {**state["cfg"], "task": argparse.Namespace(task="of old")}}, bad
    )  # as of a task without a dataclass
    assert "a model for the task None, translating needs one for translation" in refusal(bad)
    torch.save({**state, "cfg": {**state["cfg"], "model": {**state["cfg"]["model"], "encoder_ffn_embed_dim": 48}}}, bad)
    assert "the checkpoint is of another architecture than this RingFormerModel" in refusal(bad)
    torch.save({**state, "cfg": {**state["cfg"], "model": {"_name": "unheard_of"}}}, bad)
    assert "bad.pt: unknown architecture unheard_of: not of fairseq and not of this plug-in" in refusal(bad)
    weights = {key: value * float("nan") for key, value in state["model"].items()}
    torch.save({**state, "model": weights}, bad)
    assert "weights are not numbers (NaN): that training has diverged" in refusal(bad)


class Harm:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_missing_embedding_files_of_the_training_are_not_needed(toy, with_fairseq, tmp_path):
    state = torch.load(toy.run / "checkpoint_last.pt", weights_only=True)
    state["cfg"]["model"]["encoder_embed_path"] = state["cfg"]["model"]["decoder_embed_path"] = "/gone.txt"
    torch.save(state, tmp_path / "moved.pt")
    assert with_fairseq("eins.", path=tmp_path / "moved.pt") == (0, "one.\n", "")


def test_long_output_is_possible_for_long_input():
    from fairseq_ringformer.text.stream import longest_output

    assert [longest_output(length) for length in (1, 100, 101, 200, 201, 1000)] == [200, 200, 400, 400, 800, 3200]


@pytest.mark.parametrize("engine", ["fairseq", "ctranslate2"])
def test_closed_output_ends_quietly(toy, exported, engine):
    model = f'--path "{toy.run}/checkpoint_last.pt" --data "{toy.data}"'
    if engine == "ctranslate2":
        model = f'--model "{exported}"'
    command = f'"{sys.executable}" -m fairseq_ringformer.cli.main translate {model} --buffer-size 1 '
    command += f'--input "{toy.root}/train.de" | head -1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")


def test_script(tmp_path):
    """The script finds the model and the data of a run, and passes on the rest."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    fake = tmp_path / ".venv/bin/ringformer"
    fake.parent.mkdir(parents=True)
    fake.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    fake.chmod(fake.stat().st_mode | stat.S_IEXEC)

    def run(*arguments, **environment):
        command = [tmp_path / "scripts/translate.sh", *map(str, arguments)]
        done = subprocess.run(command, cwd="/", env={**os.environ, **environment}, capture_output=True, text=True)
        return done.returncode, done.stdout.replace(str(tmp_path), ""), done.stderr

    status, _, err = run("Hallo")
    assert status == 2 and err.endswith("train a model first with scripts/quickstart.sh\n") and err.count("\n") == 1
    tiny, other = tmp_path / "runs/ringformer_tiny", tmp_path / "runs/x-grammar_de_en_seed2"
    (tiny / "checkpoints").mkdir(parents=True)
    other.mkdir()
    data = "--data|/data/debian_de_en_quick_4000/bin|"
    (tiny / "checkpoints/checkpoint_best.pt").touch()
    assert run() == (0, f"translate|--path|/runs/ringformer_tiny/checkpoints/checkpoint_best.pt|{data}", "")
    (tiny / "averaged.pt").touch()
    expected = f"translate|--path|/runs/ringformer_tiny/averaged.pt|{data}--beam|3|Guten Morgen!|"
    assert run("--beam", "3", "Guten Morgen!") == (0, expected, "")
    (other / "checkpoint_best.pt").touch()
    expected = "translate|--path|/runs/x-grammar_de_en_seed2/checkpoint_best.pt|--data|/data/grammar_de_en/bin|a|"
    assert run("--run", other, "a")[1] == run("a", RUN=str(other))[1] == expected
    assert run("--run", other, "--data", "d", "a")[1] == expected.replace("/data/grammar_de_en/bin", "d")
    assert run("--run")[0] == 2
    status, out, _ = run("--help")
    assert status == 0 and out.startswith("usage: scripts/translate.sh")
