import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark.sh"


def run(*arguments):
    return subprocess.run(["bash", str(SCRIPT), *arguments], capture_output=True, text=True)


def test_help_says_how_to_call_it():
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert 'scripts/benchmark.sh [--output DIR] [--sizes "base small tiny"] [FLAG ...]' in done.stdout
    assert "set -euo" not in done.stdout


@pytest.mark.parametrize(
    "arguments, message",
    (
        (("--sizes", "base huge"), "benchmark: unknown size huge: choose tiny, small, base, large or vision\n"),
        (("--output",), "benchmark: --output needs a value (see --help)\n"),
        (("--size", "base"), "benchmark: --size would measure one model under every name: use --sizes\n"),
        (("--sizes=tiny", "--json=x"), "benchmark: --json=x is set for each size: use --output DIR\n"),
    ),
)
def test_mistakes_are_refused_before_anything_is_installed(arguments, message):
    done = run(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


@pytest.fixture
def copied(tmp_path):
    """The script beside a setup and a command that write down how they were called, and a file for --json."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("go_to_root.sh", "claim.sh"):
        shutil.copy(SCRIPT.with_name(name), tmp_path / "scripts")
    script = shutil.copy(SCRIPT, tmp_path / "scripts")
    for path in ("scripts/setup.sh", ".venv/bin/ringformer"):
        stub = tmp_path / path
        stub.write_text(
            '#!/usr/bin/env bash\necho "${0##*/} $*" >>calls.txt\n'
            'while [ $# -gt 0 ]; do if [ "$1" = --json ]; then echo {} >"$2"; fi; shift; done\n'
        )
        stub.chmod(0o755)
    return script


def test_the_size_vision_measures_every_classifier_and_a_second_run_none(copied, tmp_path):
    for _ in range(2):
        subprocess.run(
            ["bash", copied, "--sizes", "tiny vision", "--output", "out", "--rounds", "3"], check=True, cwd=tmp_path
        )
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    archs = ("vit_ring_tiny_patch4_28", "vit_ring_512_l6_patch16_224", "vit_ring_768_l12_patch16_224")
    assert calls == [
        "setup.sh analysis fairseq deploy vision",
        "ringformer benchmark --size tiny --autocast bf16 --ctranslate2 int8 --json out/.tiny.json --plot out/tiny.png "
        "--rounds 3",
        *(
            f"ringformer benchmark --arch {arch} --mixed-precision bf16 --json out/.{arch}.json --plot out/{arch}.png "
            "--rounds 3"
            for arch in archs
        ),
        "setup.sh analysis fairseq deploy vision",
    ]
    assert {path.name for path in (tmp_path / "out").glob("*.json")} == {f"{name}.json" for name in ("tiny", *archs)}


@pytest.mark.parametrize(
    "measures, exported",
    [
        (["--measure", "training", "memory"], False),
        (["--measure=training"], False),
        (["--measure", "training", "generation"], True),
    ],
)
def test_ctranslate2_is_asked_for_where_it_is_measured(copied, tmp_path, measures, exported):
    subprocess.run(["bash", copied, "--sizes", "tiny", "--output", "out", *measures], check=True, cwd=tmp_path)
    assert ("--ctranslate2 int8" in (tmp_path / "calls.txt").read_text()) == exported
