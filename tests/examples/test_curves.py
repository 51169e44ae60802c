import subprocess
import sys
from pathlib import Path

CURVES = Path(__file__).resolve().parents[2] / "examples/debian_de_en/curves.py"


def run(*arguments):
    return subprocess.run([sys.executable, CURVES, *map(str, arguments)], capture_output=True, text=True)


def write_log(path, losses):
    lines = ["2026-01-01 | INFO | train | noise"]
    lines += [
        f'2026-01-01 | INFO | train_inner | {{"loss": "{loss}", "num_updates": "{n}"}}' for n, loss in losses.items()
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_curves_are_printed_side_by_side_and_drawn(tmp_path):
    a = write_log(tmp_path / "a.log", {50: 9.5, 100: 8.25, 200: 7.0})
    b = write_log(tmp_path / "b.log", {50: 9.5, 100: 8.5, 200: 7.125, 300: 6})
    done = run(f"one={a}", f"two={b}", "--output", tmp_path / "c.png")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()[2:]] == [
        ["100", "8.250", "8.500"],
        ["200", "7.000", "7.125"],
    ]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_mistakes_are_said_in_a_line(tmp_path):
    empty = tmp_path / "empty.log"
    empty.write_text("nothing\n")
    done = run(f"a={empty}")
    assert done.returncode == 1 and "holds no losses: train with --log-format json" in done.stderr
    log = write_log(tmp_path / "a.log", {100: 8.25})
    done = run(f"a={log}", "--output", tmp_path / "no/c.png")
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.endswith("/no: no such folder for --output\n")
    assert "argument --every: 0 is not a whole number" in run(f"a={log}", "--every", 0).stderr
    done = run("nothing")
    assert done.returncode == 2 and "NAME=FILE wanted, with a log that is there" in done.stderr
