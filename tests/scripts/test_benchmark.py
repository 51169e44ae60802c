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


@pytest.mark.parametrize("arguments, message", (
    (("--sizes", "base huge"), "benchmark: unknown size huge: choose tiny, small, base or large\n"),
    (("--output",), "benchmark: --output needs a value (see --help)\n"),
))
def test_mistakes_are_refused_before_anything_is_installed(arguments, message):
    done = run(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
