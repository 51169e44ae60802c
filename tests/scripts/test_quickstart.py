"""scripts/quickstart.sh with steps that only say what they were called with."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
STEPS = (
    "scripts/setup.sh",
    "examples/debian_de_en/prepare.sh",
    "examples/debian_de_en/train.sh",
    "examples/debian_de_en/evaluate.sh",
    ".venv/bin/ringformer",
)
SAY = '#!/bin/sh\nprintf "%s " "${0##*/}" "$@" >> "$CALLS"\necho >> "$CALLS"\n'


@pytest.fixture
def clone(tmp_path):
    for name in STEPS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(SAY)
        (tmp_path / name).chmod(0o755)
    for name in ("quickstart.sh", "translate.sh", "go_to_root.sh"):
        shutil.copy(SCRIPTS / name, tmp_path / "scripts")
    for name in ("my.de", "my.en"):
        (tmp_path / name).touch()
    return tmp_path


def calls(clone, script, *arguments):
    """What each step was called with, by its name."""
    file = clone / "calls"
    file.unlink(missing_ok=True)
    command = [clone / "scripts" / script, *arguments]
    subprocess.run(command, check=True, capture_output=True, cwd=clone, env={**os.environ, "CALLS": str(file)})
    return {line.split()[0]: line.split()[1:] for line in file.read_text().replace(f"{clone}/", "").splitlines()}


def value(words, flag):
    return words[words.index(flag) + 1]


@pytest.mark.parametrize(
    "flags, data, run",
    [
        ([], "debian_de_en_quick_4000", "ringformer_tiny"),
        (["--vocab-size", "8000"], "debian_de_en_quick", "ringformer_tiny-debian_de_en_quick"),
        (
            ["--set", "full", "--arch", "x_tiny", "--seed", "2"],
            "debian_de_en_full_4000",
            "x_tiny-debian_de_en_full_4000_seed2",
        ),
        (["--max-update", "2500", "--seed", "3"], "debian_de_en_quick_4000", "ringformer_tiny_seed3_updates2500"),
        (["--source", "numbers", "--max-update", "9"], "numbers_de_en", "ringformer_tiny-numbers_de_en_updates9"),
        (
            ["--source", "numbers", "--source-lang", "pt_BR", "--target-lang", "fr", "--vocab-size", "400"],
            "numbers_pt_BR_fr_400",
            "ringformer_tiny-numbers_pt_BR_fr_400",
        ),
        (["--files", "my.de", "my.en"], "my_de_en_4000", "ringformer_tiny-my_de_en_4000"),
    ],
)
def test_what_is_trained_otherwise_lies_elsewhere_and_translate_finds_it(clone, flags, data, run):
    for language in ("de", "pt_BR"):
        (clone / "data" / data / "raw").mkdir(parents=True, exist_ok=True)
        (clone / "data" / data / "raw" / f"test.{language}").write_text("drei\n")
    done = calls(clone, "quickstart.sh", *flags)
    assert {
        value(done[f"{step}.sh"], flag)
        for step, flag in (("prepare", "--output"), ("train", "--data"), ("evaluate", "--data"))
    } == {f"data/{data}"}
    assert value(done["train.sh"], "--output") == f"runs/{run}"
    assert value(done["train.sh"], "--save-interval-updates") == ("9" if "9" in flags else "200")
    assert value(done["ringformer"], "--output") == value(done["evaluate.sh"], "--path") == f"runs/{run}/averaged.pt"
    (clone / "runs" / run).mkdir(parents=True)
    (clone / "runs" / run / "averaged.pt").touch()
    translated = calls(clone, "translate.sh", "--run", clone / "runs" / run, "Hallo")["ringformer"]
    assert translated == ["translate", "--path", f"runs/{run}/averaged.pt", "Hallo"]
