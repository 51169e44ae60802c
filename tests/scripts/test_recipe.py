"""The recipe's real command lines, from numbers to a translated one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "examples/debian_de_en"
# As scripts/quickstart.sh has it.
UPDATES = 400
TINY = ["--encoder-embed-dim", "32", "--encoder-ffn-embed-dim", "64", "--encoder-layers", "2", "--decoder-layers", "2"]


def run(*command, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), cwd=ROOT, env=environment, text=True, capture_output=True, **options)
    return done.returncode, done.stdout, done.stderr


def succeed(*command, **options):
    status, out, err = run(*command, **options)
    assert status == 0, out[-2000:] + err[-2000:]
    return out


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    options = ["--source", "numbers", "--target-lang", "nl", "--sizes", 1000, 50, 50, "--vocab-size", 150]
    succeed(RECIPE / "prepare.sh", *options, "--output", folder)
    return folder


@pytest.mark.slow
def test_from_numbers_to_a_translated_one(data, tmp_path):
    folder = tmp_path / "ring"
    train = [RECIPE / "train.sh", "--data", data, "--output", folder, "--arch", "ringformer_tiny"]
    flags = [*TINY, "--save-interval-updates", "4", "--warmup-updates", "2"]
    succeed(*train, "--max-update", 8, *flags)
    resumed = succeed(*train, "--max-update", 12, *flags)
    assert "Loaded checkpoint" in resumed
    last = folder / "checkpoints/checkpoint_last.pt"
    last.write_bytes(last.read_bytes()[:1000])  # as an interruption can leave it
    assert "is trained already: 12 updates" in succeed(*train, "--max-update", 12, *flags)
    other = ["--arch", "vanilla_transformer_tiny", *TINY]
    status, _, err = run(*train, "--max-update", 12, *other)
    assert status == 1 and err.endswith("was trained as ringformer_tiny: choose another --output\n")
    status, _, err = run(*train, "--max-update", 12, *flags, "--seed", 2)
    assert status == 1 and err.endswith("was trained with --seed 1: choose another --output\n")
    anew = tmp_path / "anew"
    shutil.copytree(data, anew)
    for language in ("de", "nl"):
        words = (anew / f"bin/dict.{language}.txt").read_text().splitlines(keepends=True)
        (anew / f"bin/dict.{language}.txt").write_text("".join(words[::-1]))
    status, _, err = run(train[0], "--data", anew, *train[3:], "--max-update", 12, *flags)
    assert status == 1 and "was trained with other sub-words than those of" in err and err.count("\n") == 1
    shutil.rmtree(anew)
    averaged = folder / "averaged.pt"
    ringformer = Path(sys.executable).parent / "ringformer"
    succeed(ringformer, "average", "--dir", folder / "checkpoints", "--last", 3, "--by", "update", "--output", averaged)
    out = succeed(RECIPE / "evaluate.sh", "--data", data, "--path", averaged, "--samples", 2)
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["sentences"] == 50 == len((folder / "hypotheses.nl").read_text().splitlines())
    assert scores["BLEU signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert f"BLEU {scores['BLEU']:.2f}" in out and out.count("reference") == 2
    assert f"exact match {scores['exact match']:.2f} %" in out
    translated = succeed(
        ROOT / "scripts/translate.sh", "--run", folder, "--data", data / "bin", input="zweihundertdreizehn\n\neins\n"
    )
    assert len(translated.split("\n")) == 4 and translated.split("\n")[1] == ""
    export = [ringformer, "export", "--path", averaged, "--to", "ctranslate2", "--quantization", "int8"]
    succeed(*export, "--output", folder / "ct2")
    compare = [sys.executable, RECIPE / "distillation.py", "--data", data, "--runs", tmp_path, "--rounds", 1]
    table = succeed(*compare, "--baseline", "ring")
    figures = json.loads((tmp_path / "results.jsonl").read_text())
    assert figures["bleu_beam5"] == scores["BLEU"] and f" {figures['parameters']:,} " in table
    assert len(figures["sentences_per_second_greedy_int8"]) == 1 and f" {scores['BLEU']:.2f} " in table
    assert (tmp_path / "results.png").stat().st_size > 10_000
    shutil.copytree(folder, tmp_path / "universal", ignore=shutil.ignore_patterns("ct2"))
    assert "does not fold" in succeed(*compare, "--baseline", "universal")
    status, _, err = run(*compare)
    assert (status, err) == (
        1,
        f"distillation: {tmp_path} holds no trained vanilla_transformer: run distillation.sh first\n",
    )


@pytest.mark.parametrize(
    "command, message",
    [
        (["train.sh"], "train: needs --data and --output (see --help)"),
        (["train.sh", "--lr", "1e-3", "--arch"], "train: --arch needs a value (see --help)"),
        (["train.sh", "--data", "nowhere", "--output", "runs/x"], "train: nowhere holds no prepared data: run"),
        (
            ["evaluate.sh", "--data", "nowhere", "--path", "setup.py"],
            "evaluate: nowhere holds no prepared data (nowhere/recipe.json:",
        ),
        (
            ["evaluate.sh", "--data", "nowhere", "--path", "nothing.pt"],
            "evaluate: no checkpoint nothing.pt: train one first",
        ),
        (
            ["evaluate.sh", "--data", "nowhere", "--path", "setup.py", "--gen-subset=valid"],
            "evaluate: --gen-subset is set by evaluate.sh: use --subset",
        ),
        (["distillation.sh", "--updates", "many"], "distillation: many is no number of updates"),
        (["distillation.sh", "ring"], "distillation: unknown argument ring (see --help)"),
        (["distillation.sh", "--data=nowhere"], "distillation: nowhere holds no prepared data: run"),
        (["../language_model/compare.sh", "nowhere", "runs"], "compare: nowhere holds no data: run"),
        (["../language_model/compare.sh", "nowhere", "runs", "ring"], "compare: ring is no number of updates"),
        (["../../scripts/quickstart.sh", "--colour", "red"], "quickstart: unknown argument --colour (see --help)"),
        (
            ["../../scripts/quickstart.sh", "--source", "numbers", "--set", "full"],
            "quickstart: --set is for --source debian",
        ),
        (
            ["../../scripts/quickstart.sh", "--target-lang", "fr"],
            "quickstart: --source-lang and --target-lang are for numbers and files",
        ),
        (
            ["../../scripts/quickstart.sh", "--source", "files"],
            "quickstart: --source files is none of debian and numbers",
        ),
        (["../../scripts/quickstart.sh", "--files", "no.de", "no.en"], "quickstart: no file "),
        (
            ["../../scripts/quickstart.sh", "--files", __file__, __file__, "--target-lang", "pt-BR"],
            "quickstart: what language is pt-BR?",
        ),
        (["../../scripts/quickstart.sh", "--arch"], "quickstart: --arch needs a value (see --help)"),
        (["../../scripts/quickstart.sh", "--max-update", "2"], "quickstart: --max-update 2 is too few: 3 checkpoints"),
        (["../../scripts/quickstart.sh", "--max-update", "1e3"], "quickstart: 1e3 is no whole number"),
    ],
)
def test_mistakes_end_in_one_line(command, message):
    status, _, err = run(RECIPE / command[0], *command[1:])
    assert status != 0 and err.startswith(message) and len(err.splitlines()) == 1


def test_what_the_last_step_lacks_is_said_before_the_first(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *package: None if name == 'ctranslate2' else find(name, *package)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    status, out, err = run(RECIPE / "distillation.sh", "--output", tmp_path / "runs")
    assert (status, out, err.count("\n")) == (1, "", 1) and not (tmp_path / "runs").exists()
    assert err.startswith(
        "distillation: exported translators need ctranslate2, which is not installed: run scripts/setup.sh"
    )


def test_runs_of_other_settings_are_not_taken_for_these(tmp_path):
    (tmp_path / "settings").write_text("others\n")
    (tmp_path / "sizes.json").write_text("{}")
    (tmp_path / "dict.txt").touch()
    for command in (
        [RECIPE / "distillation.sh", "--output", tmp_path],
        [ROOT / "examples/language_model/compare.sh", tmp_path, tmp_path, 9],
    ):
        status, out, err = run(*command)
        assert (status, out) == (2, "") and "holds results of others: choose another" in err and err.count("\n") == 1


@pytest.mark.slow  # the data are those of the other slow tests
@pytest.mark.parametrize(
    "flags, message",
    [
        (["--signal-rank", "999"], "ringformer train: encoder: signal rank 999 must lie between 1 and"),
        (["--max-update", "many"], "train: --max-update many is no number of updates"),
    ],
)
def test_a_training_that_cannot_be_ends_in_one_line(data, tmp_path, flags, message):
    status, out, err = run(RECIPE / "train.sh", "--data", data, "--output", tmp_path / "run", *TINY, *flags)
    assert status == 2 and message in err and len(err.splitlines()) == 1 and not out
    assert not (tmp_path / "run").exists()


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    output = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    status, _, err = run(RECIPE / "prepare.sh", "--source", "numbers", "--output", output)
    assert status == 1 and len(err.splitlines()) == 1
    assert err.endswith("/\\xff: a name that is not UTF-8, as fairseq needs it: choose another folder\n")
    assert not list(tmp_path.iterdir())


SCRIPTS = [
    f"{name}/{script}.sh" for name in ("debian_de_en", "wmt14_de_en") for script in ("prepare", "train", "evaluate")
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_an_installation_the_scripts_say_so(tmp_path, script):
    for name in (script, "recipe/environment.sh"):
        (tmp_path / "examples" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "examples" / name, tmp_path / "examples" / name)
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")  # that of a system, which does not know the project
    (tmp_path / "python3").chmod(0o755)
    (tmp_path / "recipe.json").touch()
    done = subprocess.run(
        [tmp_path / "examples" / script, "--data", tmp_path, "--output", tmp_path / "run"],
        text=True,
        capture_output=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    expected = f"{Path(script).name}: this project is not installed: run scripts/setup.sh first\n"
    assert (done.returncode, done.stderr) == (1, expected)


@pytest.mark.parametrize("script", ["scripts/quickstart.sh", "examples/debian_de_en/train.sh"])
def test_help_is_the_scripts_own_comment(script):
    out = succeed(ROOT / script, "--help")
    assert "--arch ARCH" in out or "--arch ringformer_tiny" in out
    assert "set -euo" not in out


@pytest.mark.slow
def test_a_ring_learns_numbers_within_minutes(tmp_path):
    """Numbers never seen in training; three minutes on two cores."""
    data, run_folder = tmp_path / "data", tmp_path / "run"
    succeed(RECIPE / "prepare.sh", "--source", "numbers", "--output", data)
    succeed(RECIPE / "train.sh", "--data", data, "--output", run_folder, "--max-update", UPDATES)
    last = run_folder / "checkpoints/checkpoint_last.pt"
    succeed(RECIPE / "evaluate.sh", "--data", data, "--path", last, "--output", run_folder, "--beam", 1)
    scores = json.loads((run_folder / "scores.json").read_text())
    assert min(scores["BLEU"], scores["exact match"]) > 95
