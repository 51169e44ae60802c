"""``ringformer translate``: line N of the output is the translation of line N, with either engine."""

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

from .conftest import sentence
from .dictionaries import turn

ROOT = Path(__file__).resolve().parents[2]


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


def test_an_early_exit_is_another_model(toy, with_fairseq, refused, ringformer):
    lines = ("--json", "--beam", 1, "eins zwei drei.")
    (first, last, whole) = (
        with_fairseq(*exit_level, *lines)[1] for exit_level in (("--exit-level", 1), ("--exit-level", 2), ())
    )
    assert last == whole != first
    path = ("--path", toy.run / "checkpoint_last.pt", "--data", toy.data)
    assert "checkpoint_last.pt: --exit-level 3 must lie between 1 and 2" in refused(
        "translate", *path, "--exit-level", 3, "x"
    )
    assert "--exit-level needs --path" in refused("translate", "--model", "x", "--exit-level", 1, "x")


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
        (hypothesis,) = line["hypotheses"]
        text, score = expected[line["line"] - 1]
        assert hypothesis["text"] == text and hypothesis["score"] == pytest.approx(score, abs=1e-3)


def test_a_line_is_its_sentences_joined(translate):
    parts = ["Eins zwei drei.", "Vier fünf sechs.", "Sieben acht."] * 3
    status, whole, err = translate(" ".join(parts), "eins.")
    assert (status, err) == (0, "")
    _, pieces, _ = translate(*parts)
    assert whole == pieces[:-1].replace("\n", " ") + "\none.\n"
    status, document, err = translate(" ".join(parts), "--no-split")
    assert status == 0 and len(document.split()) > 0
    assert err.startswith("ringformer translate: line 1: ") and "the model takes 23: translated in " in err


def test_text_is_normalised_as_the_training_text_was(toy, ringformer, tmp_path):
    """By the recipe, which goes with an exported model, with either engine; a flag turns it off."""
    shutil.copytree(toy.data, tmp_path / "bin")
    shutil.copy(toy.root / "toy.model", tmp_path)
    recipe = json.loads((toy.root / "recipe.json").read_text())
    normalisation = {
        "form": "NFC",
        "replace": {"»": "", "«": ""},
        "spaces": True,
        "characters": "abcdefghijklmnopqrstuvwxyzü.",
    }
    (tmp_path / "recipe.json").write_text(json.dumps({**recipe, "normalisation": normalisation}))
    path = ("--path", toy.run / "checkpoint_last.pt", "--data", tmp_path / "bin")
    assert ringformer("export", *path, "--to", "ctranslate2", "--output", tmp_path / "model")[0] == 0
    cut = ("--sentencepiece-model", tmp_path / "toy.model")  # flags name the sub-words; the recipe says the rest
    for model in (path, (*path, *cut), ("--model", tmp_path / "model")):
        command = ("translate", *model, "»fu\u0308nf«\u00a0ｅins.")
        assert ringformer(*command) == (0, "five one.\n", "")
        assert ringformer(*command, "--no-normalise")[1] != "five one.\n"


def test_a_pipe_is_answered_line_by_line(toy, exported):
    """Without a flag: a line's translation is there before the next line is."""
    for model in (("--path", toy.run / "checkpoint_last.pt", "--data", toy.data), ("--model", exported)):
        command = [sys.executable, "-m", "fairseq_ringformer.cli.main", "translate", *map(str, model)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
            for line, translation in (("eins.", "one."), ("zwei acht.", "two eight."), ("", "")):
                process.stdin.write(f"{line}\n".encode())
                process.stdin.flush()
                assert process.stdout.readline().decode() == f"{translation}\n"
            process.stdin.close()
            assert (process.stdout.read(), process.wait(60)) == (b"", 0)


def test_a_fifo_is_a_file(toy, translate, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen(["sh", "-c", f'printf "eins.\\nzwei." > "{tmp_path}/fifo"']):
        assert translate("--input", tmp_path / "fifo") == (0, "one.\ntwo.\n", "")


def test_bytes_that_are_no_utf8(translate, tmp_path):
    (tmp_path / "in.txt").write_bytes(b"\xef\xbb\xbfeins.\r\nzw\xffei.\r\nacht.")
    status, out, err = translate("--input", tmp_path / "in.txt")
    lines = out.split("\n")
    assert status == 0 and len(lines) == 4 and (lines[0], lines[2], lines[3]) == ("one.", "eight.", "")
    assert err == "ringformer translate: line 2: not UTF-8 in places, replaced by \ufffd\n"


def test_blank_text(translate):
    assert translate("", " ", "eins.", "\t") == (0, "\n\none.\n\n", "")


def test_json_lines(translate):
    status, out, _ = translate("fünf.", "", "--json", "--nbest", 3, "--beam", 4)
    first, second = map(json.loads, out.splitlines())
    assert status == 0 and "fünf" in out
    assert (first["line"], first["source"], first["pieces"]) == (1, "fünf.", [{"source": "fünf.", "text": "five."}])
    assert first["hypotheses"][0]["text"] == "five." and len(first["hypotheses"]) == 3
    scores = [hypothesis["score"] for hypothesis in first["hypotheses"]]
    assert scores == sorted(scores, reverse=True) and scores[0] < 0
    assert second == {"line": 2, "source": "", "hypotheses": [], "pieces": []}
    (line,) = map(json.loads, translate("Eins zwei.  Drei.", "--json")[1].splitlines())
    assert [piece["source"] for piece in line["pieces"]] == ["Eins zwei.", "Drei."]
    assert line["hypotheses"][0]["text"] == "  ".join(piece["text"] for piece in line["pieces"])


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
    assert ringformer(*command) == (0, "one.\n", "")  # the checkpoint knows the languages
    state = torch.load(toy.run / "checkpoint_last.pt", weights_only=True)
    torch.save({**state, "task_state": {}}, tmp_path / "bare.pt")
    command[2] = tmp_path / "bare.pt"
    assert "do not say the languages: add --source-lang and --target-lang" in ringformer(*command)[2]
    assert ringformer(*command, "-s", "de", "-t", "en") == (0, "one.\n", "")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("eins", "--input", "in.txt"), "TEXT and --input exclude each other"),
        (("--nbest", 6, "--json"), "--nbest 6 needs a --beam of at least 6"),
        (("--nbest", 2), "--nbest needs --json"),
        (("--lenpen", "nan"), "--lenpen nan is no number"),
        (("--lenpen", "1e300"), "--lenpen 1e+300 is too large: choose at most 50"),
        (("--input", "in.txt", "--output", "./in.txt"), "--output ./in.txt is to be read"),
        (("eins", "--output", "model.pt"), "--output model.pt is to be read"),
        (("--input", "no.txt"), "no.txt: no such file for --input"),
        (("--output", "no/out.txt"), "no: no such folder for --output"),
        (("--input", "."), ".: a folder, no file for --input"),
        (("--device", "nonsense"), "--device nonsense: torch finds no such device"),
        (("--device", "meta"), "--device meta: torch finds no such device"),
        (("--translators", 2), "--translators needs --model"),
        (("--bpe", "sentencepiece"), "--bpe sentencepiece needs --sentencepiece-model FILE"),
        (("--sentencepiece-model", "in.txt", "--bpe-codes", "in.txt"), "--bpe-codes contradicts --sentencepiece-model"),
        (("--sentencepiece-model", "in.txt", "--bpe", "none"), "--sentencepiece-model contradicts --bpe none"),
        (("--sentencepiece-model", "no.model"), "no.model: no such sub-word model"),
        (("--data", "other"), "no recipe.json in other or beside it"),
        (("--data", "no"), "no: no such data folder"),
        (("--data", ".", "--bpe", "none", "-s", "de", "-t", "en"), ". has no dict.de.txt"),
    ],
)
def test_mistakes_with_fairseq(toy, refused, tmp_path, monkeypatch, flags, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("eins.\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "model.pt").symlink_to(toy.run / "checkpoint_last.pt")
    assert text in refused("translate", "--path", "model.pt", "--data", toy.data, *flags)
    assert (tmp_path / "in.txt").read_text() == "eins.\n"


def test_other_dictionaries(toy, refused, tmp_path):
    """Also of the same size, and called otherwise than in training."""
    path = toy.run / "checkpoint_last.pt"
    command = ("translate", "eins", "--path", path, "--bpe", "none", "--data")
    shutil.copytree(toy.data, tmp_path / "bin")
    with (tmp_path / "bin/dict.en.txt").open("a") as stream:
        stream.write("more 1\n")
    entries = len(torch.load(path, weights_only=True)["model"]["encoder.embed_tokens.weight"])
    assert f"{entries + 1} against {entries} entries on the" in refused(*command, tmp_path / "bin")
    turned = turn(toy.data, tmp_path / "turned", languages=["en"])
    assert f"than {path} was trained with: on the target side entry 4 is" in refused(*command, turned)
    for language, name in (("de", "deu"), ("en", "eng")):
        (turned / f"dict.{language}.txt").rename(turned / f"dict.{name}.txt")
    assert "on the target side entry 4 is" in refused(*command, turned, "-s", "deu", "-t", "eng")


def test_a_damaged_dictionary(toy, refused, tmp_path):
    shutil.copytree(toy.data, tmp_path / "bin")
    path = tmp_path / "bin/dict.en.txt"
    command = ("translate", "eins", "--path", toy.run / "checkpoint_last.pt", "--bpe", "none", "--data", path.parent)
    for content in (b"a b c\n", b"\xff 1\n", b"a\nb 1\n"):
        path.write_bytes(content)
        assert f"{path} is not a dictionary of fairseq-preprocess: Incorrect " in refused(*command)


def test_bad_checkpoints(toy, refused, tmp_path):
    good, bad = toy.run / "checkpoint_last.pt", tmp_path / "bad.pt"
    state = torch.load(good, weights_only=True)
    settings = state["cfg"]
    command = ("translate", "eins", "--data", toy.data, "--path")
    assert "no.pt: no such checkpoint" in refused(*command, f"{good}:{tmp_path}/no.pt")
    of_old = argparse.Namespace(task="of old")  # as of a task without a dataclass
    for changes, text in (
        ({"cfg": None}, "holds no settings of its task"),
        ({"cfg": {**settings, "task": {"_name": "language_modeling"}}}, "a model for the task language_modeling"),
        ({"cfg": {**settings, "task": of_old}}, "a model for the task None"),
        ({"cfg": {**settings, "model": {**settings["model"], "encoder_ffn_embed_dim": 48}}}, "another architecture"),
        ({"cfg": {**settings, "model": {"_name": "unheard_of"}}}, "unknown architecture unheard_of"),
        ({"model": {key: value * float("nan") for key, value in state["model"].items()}}, "not numbers (NaN)"),
    ):
        torch.save({**state, **changes}, bad)
        assert "bad.pt: " in (message := refused(*command, bad)) and text in message


def test_missing_embedding_files_of_the_training_are_not_needed(toy, with_fairseq, tmp_path):
    state = torch.load(toy.run / "checkpoint_last.pt", weights_only=True)
    state["cfg"]["model"]["encoder_embed_path"] = state["cfg"]["model"]["decoder_embed_path"] = "/gone.txt"
    torch.save(state, tmp_path / "moved.pt")
    assert with_fairseq("eins.", path=tmp_path / "moved.pt") == (0, "one.\n", "")


def test_neither_text_nor_model_is_replaced(exported, tmp_path):
    (tmp_path / "in.txt").write_text("eins.\n")
    command = [sys.executable, "-m", "fairseq_ringformer.cli.main", "translate", "--model", exported, "--output"]
    for output in (tmp_path / "in.txt", exported / "model.bin"):
        before = output.read_bytes()
        with open(tmp_path / "in.txt") as text:
            done = subprocess.run([*command, output], stdin=text, capture_output=True, text=True, cwd=ROOT, timeout=100)
        assert done.returncode == 2 and f"--output {output} is to be read" in done.stderr
        assert output.read_bytes() == before


def test_an_input_that_breaks_is_no_fault_of_the_output(exported, refused, tmp_path):
    err = refused("translate", "--model", exported, "--input", "/proc/self/mem", "--output", tmp_path / "out")
    assert err == "ringformer translate: cannot read /proc/self/mem: Input/output error\n"


def test_closed_output_ends_quietly(toy, exported):
    command = f'"{sys.executable}" -m fairseq_ringformer.cli.main translate --model "{exported}" --buffer-size 1 '
    command += f'--input "{toy.root}/train.de" | head -1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")


def test_script(tmp_path):
    """The script finds the model of a run, and passes on the rest."""
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
    (tiny / "checkpoints/checkpoint_best.pt").touch()
    assert run() == (0, "translate|--path|/runs/ringformer_tiny/checkpoints/checkpoint_best.pt|", "")
    (tiny / "averaged.pt").touch()
    expected = "translate|--path|/runs/ringformer_tiny/averaged.pt|--beam|3|Guten Morgen!|"
    assert run("--beam", "3", "Guten Morgen!") == (0, expected, "")
    (other / "checkpoint_best.pt").touch()
    expected = "translate|--path|/runs/x-grammar_de_en_seed2/checkpoint_best.pt|a|"
    assert run("--run", other, "a")[1] == run("a", RUN=str(other))[1] == expected
    assert run("--run", other, "--data", "d", "a")[1] == expected.replace("a|", "--data|d|a|")
    assert run("--run")[0] == 2
    status, out, _ = run("--help")
    assert status == 0 and out.startswith("usage: scripts/translate.sh")
