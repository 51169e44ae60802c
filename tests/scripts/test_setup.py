"""scripts/setup.sh with an interpreter that only says what it was asked to do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[2] / "scripts/setup.sh"
PYTHON = """#!/bin/sh
echo "python $*" >> calls
case $* in
  *sysconfig*) echo "$PWD/headers" ;;
  "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python
    printf "#!/bin/sh\\n# $PWD/.venv/bin/python\\necho pip \\$* >> calls\\n" > .venv/bin/pip; chmod +x .venv/bin/pip ;;
  "-m pip --version") [ -x .venv/bin/pip ] ;;
esac
"""


@pytest.fixture
def clone(tmp_path):
    (tmp_path / "scripts").mkdir()
    shutil.copy(SETUP, tmp_path / "scripts")
    shutil.copy(SETUP.parents[1] / "setup.py", tmp_path)
    (tmp_path / "headers").mkdir()
    (tmp_path / "headers/Python.h").touch()
    (tmp_path / "python").write_text(PYTHON)
    for program in ("python", "c++"):
        (tmp_path / program).touch()
        (tmp_path / program).chmod(0o755)
    return tmp_path


def setup(clone, *extras):
    """Exit status, standard error, and what python and pip were called with."""
    environment = {**os.environ, "PYTHON": str(clone / "python"), "PATH": f"{clone}:{os.environ['PATH']}"}
    done = subprocess.run([clone / "scripts/setup.sh", *extras], env=environment, text=True, capture_output=True)
    calls = clone / "calls"
    lines = calls.read_text().splitlines() if calls.exists() else []
    calls.unlink(missing_ok=True)
    return done.returncode, done.stderr, [line for line in lines if " -c " not in line]


def test_what_is_installed_stays(clone):
    status, _, calls = setup(clone, "vision")
    assert status == 0 and "python -m venv .venv" in calls and calls[-1].endswith("-e .[vision]")
    assert setup(clone, "vision") == (0, "", [])
    status, _, calls = setup(clone, "vision", "analysis")
    assert status == 0 and "python -m venv .venv" not in calls and calls[-1].endswith("-e .[analysis,vision]")


def test_a_clone_that_was_moved_is_installed_anew(clone):
    assert setup(clone, "vision")[0] == 0
    moved = clone.rename(clone.with_name("elsewhere and with blanks"))
    status, _, calls = setup(moved, "vision")
    assert status == 0 and "python -m venv .venv" in calls and calls[-1].endswith("-e .[vision]")
    assert setup(moved, "vision") == (0, "", [])


def test_an_environment_whose_interpreter_is_gone_is_made_anew(clone):
    assert setup(clone, "vision")[0] == 0
    (clone / ".venv/bin/python").unlink()
    status, _, calls = setup(clone, "vision")
    assert status == 0 and "python -m venv .venv" in calls and calls[-1].endswith("-e .[vision]")


def test_all_holds_each(clone):
    assert setup(clone, "dev")[0] == 0
    assert setup(clone, "vision") == setup(clone) == (0, "", [])


def test_translation_is_the_default(clone):
    status, _, calls = setup(clone)
    assert status == 0 and calls[-1].endswith("-e .[recipes]")


def test_an_environment_whose_creation_was_interrupted_is_made_anew(clone):
    (clone / ".venv/bin").mkdir(parents=True)
    shutil.copy(clone / "python", clone / ".venv/bin/python")
    status, _, calls = setup(clone)
    assert status == 0 and "python -m venv .venv" in calls


def test_what_is_missing_is_said_before_anything_is_installed(clone):
    (clone / "headers/Python.h").unlink()
    status, error, calls = setup(clone)
    assert status == 1 and error.startswith("setup: needs Python's headers") and error.count("\n") == 1
    assert not calls and not (clone / ".venv").exists()


def test_an_extra_that_there_is_not_is_refused(clone):
    status, error, calls = setup(clone, "vision", "visoin")
    assert (status, calls) == (2, []) and not (clone / ".venv").exists()
    assert error.startswith("setup: no extra visoin: choose of torch fairseq vision ") and error.endswith(" dev\n")


def test_only_fairseq_is_built(clone):
    (clone / "headers/Python.h").unlink()
    status, _, calls = setup(clone, "vision")
    assert status == 0 and not any("no-build-isolation" in call or "cython" in call for call in calls)
