import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gpu.sh"


@pytest.mark.parametrize(
    "arguments, message",
    (
        (("--steps", "tests dance"), "gpu: unknown step dance: choose tests, benchmark, compile or trainings\n"),
        (("--minutes", "soon"), "gpu: soon is no number of minutes or jobs: write 10, say\n"),
        (("--data",), "gpu: --data needs a value (see --help)\n"),
        (("--data=nowhere",), "gpu: nowhere: no such folder of prepared text\n"),
        (("--size", "huge"), "gpu: unknown size huge: choose tiny, small, base or large\n"),
        (("--budget", "20"), "gpu: 20 is no time: write 90s, 20m or 1.5h\n"),
    ),
)
def test_mistakes_are_refused_before_anything_is_installed(arguments, message):
    done = subprocess.run(["bash", SCRIPT, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


@pytest.fixture
def run(tmp_path):
    """The script beside commands that write down how they were called; ``run(flags, found=False)`` where torch finds no GPU."""
    (tmp_path / "scripts").mkdir()
    for name in ("go_to_root.sh", "claim.sh"):
        shutil.copy(SCRIPT.with_name(name), tmp_path / "scripts")
    script = shutil.copy(SCRIPT, tmp_path / "scripts")
    (tmp_path / "data/debian_de_en_quick_4000/bin").mkdir(parents=True)
    for path in ("scripts/setup.sh", ".venv/bin/ringformer", ".venv/bin/python"):
        stub = tmp_path / path
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(
            '#!/usr/bin/env bash\nif [ "$1" = -c ]; then exit $NO_GPU; fi\necho "${0##*/} $*" >>calls.txt\n'
            'if [ "$1" = "$FAILS" ]; then exit 1; fi\n'
        )
        stub.chmod(0o755)

    def run(*flags, found=True, fails="", cwd=tmp_path, path=""):
        environment = {**os.environ, "NO_GPU": "0" if found else "1", "FAILS": fails}
        environment["PATH"] = path + environment["PATH"]
        done = subprocess.run(["bash", script, *flags], env=environment, capture_output=True, text=True, cwd=cwd)
        calls = tmp_path / "calls.txt"
        lines = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return done, [line for line in lines if not line.startswith("setup.sh")]

    return run


def test_a_step_ends_when_what_it_printed_is_written(run, tmp_path):
    tee = tmp_path / "slow" / "tee"
    tee.parent.mkdir()
    tee.write_text(f'#!/bin/sh\nsleep 0.3\nexec {shutil.which("tee")} "$@"\n')
    tee.chmod(0o755)
    done, _ = run("--output", "out", "--steps", "tests", path=f"{tee.parent}:")
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "out/tests.txt").exists()


def test_every_step_is_done_once(run):
    done, calls = run("--output", "out", "--lr", "2e-3")
    assert done.returncode == 0, done.stderr
    assert [call.split()[:2] for call in calls] == [
        ["python", "-m"],
        *5 * [["ringformer", "benchmark"]],
        ["ringformer", "study"],
        ["ringformer", "report"],
    ]
    assert all(f"--precision {word}" in call for word, call in zip(("float32", "bf16", "fp16"), calls[1:4]))
    assert all("--device cuda" in call for call in calls[1:6]) and all("--compile" in call for call in calls[4:6])
    study = calls[6].split()
    assert study[study.index("--jobs") + 1] == "4" and study[-2:] == ["--lr", "2e-3"]
    assert 400 < int(study[study.index("--budget") + 1].removesuffix("s")) <= 480
    done, calls = run("--output", "out", "--lr", "2e-3")
    assert (done.returncode, calls) == (0, []) and done.stdout.count("done before") == 8
    done, calls = run("--output", "out", "--lr", "1e-3")
    assert (done.returncode, calls, done.stdout) == (2, [], "") and "holds results of cuda --size base" in done.stderr


def test_paths_are_those_of_the_folder_that_it_is_called_in(run, tmp_path):
    there = tmp_path / "there"
    (there / "text").mkdir(parents=True)
    done, calls = run("--output", "out", "--data", "text", "--steps", "trainings", cwd=there)
    assert done.returncode == 0 and f"--data {there}/text --output {there}/out/study" in calls[0]


def test_what_failed_is_done_again_with_the_budget_of_before(run):
    done, calls = run("--output", "out", fails="study")
    assert done.returncode == 1 and "gpu: trainings failed, see above and out/trainings.part" in done.stderr
    budget = calls[-1].split("--budget ")[1]
    done, calls = run("--output", "out", "--minutes", "20")
    assert done.returncode == 0 and [call.split("--budget ")[-1] for call in calls[:1]] == [budget]


def test_no_time_for_trainings_is_said(run):
    done, calls = run("--output", "out", "--minutes", "1")
    assert done.returncode == 0 and len(calls) == 6
    assert "gpu: no time was left for trainings: the same command goes on with it" in done.stdout


def test_where_there_is_no_gpu(run):
    done, calls = run(found=False)
    assert (done.returncode, calls) == (1, [])
    assert done.stderr == "gpu: torch finds no GPU here: scripts/gpu.sh --cpu tries all of this on a CPU, at toy size\n"


@pytest.mark.slow  # the real commands, at toy size: three minutes
def test_it_runs_on_a_cpu(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", SCRIPT, "--cpu", "--installed", "--output", tmp_path / "out", "--jobs", "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"tests.txt", "benchmark_fp16.json", "compile_float32.json", "trainings.txt", "report.txt"} <= written
    assert len((tmp_path / "out/study/results.jsonl").read_text().splitlines()) == 4
