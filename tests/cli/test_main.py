import io
import subprocess
import sys
from pathlib import Path

import pytest

import fairseq_ringformer
from fairseq_ringformer.cli import main as cli
from fairseq_ringformer.errors import UserError, one_line


@pytest.mark.parametrize("arguments", [["--help"], *([command, "--help"] for command in cli.COMMANDS)])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        cli.main(arguments)
    assert error.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ringformer")


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert all(f"\n    {command}" in out for command in cli.COMMANDS)


@pytest.mark.parametrize(
    "arguments", [[], ["unknown"], ["user-dir", "surplus"], ["average", "a.pt", "--out", "b.pt"], ["translate"]]
)
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        cli.main(arguments)
    assert error.value.code == 2
    assert capsys.readouterr().err.startswith("usage: ringformer")


def test_a_command_imports_nothing_of_another():
    code = "import sys; from fairseq_ringformer.cli.main import main; main(['user-dir']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert "cli.user_dir" in done.stdout and not any(name in done.stdout for name in ("cli.translate", "'yaml'"))


def test_user_dir(capsys):
    assert cli.main(["user-dir"]) == 0
    assert Path(capsys.readouterr().out.strip()) == Path(fairseq_ringformer.__file__).parent


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (UserError("what is wrong"), 2, "ringformer user-dir: what is wrong\n"),
        (PermissionError(13, "Permission denied", "a.pt"), 2, "ringformer user-dir: a.pt: Permission denied\n"),
        (
            type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory.\nTried to allocate"),  # torch's
            2,
            "ringformer user-dir: out of GPU memory: use --device cpu, or a GPU with more of it free\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_how_a_command_ends(monkeypatch, capsys, error, status, text):
    def fail(args):
        raise error

    monkeypatch.setattr("fairseq_ringformer.cli.user_dir.run", fail)
    assert cli.main(["user-dir"]) == status
    assert capsys.readouterr().err == text


def test_an_error_without_a_text_is_called_by_its_name():
    assert one_line(AssertionError()) == "AssertionError"


def test_printing_never_ends_a_command(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr("fairseq_ringformer.cli.user_dir.run", lambda args: print("ä \udcfc"))
    assert cli.main(["user-dir"]) == 0
    sys.stdout.flush()
    assert written.getvalue() == b"\\xe4 \\udcfc\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_does_not_fit_is_one_line():
    command = [sys.executable, "-m", "fairseq_ringformer.cli.main", "user-dir"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (2, "ringformer user-dir: No space left on device\n")


def test_installed_command():
    command = Path(sys.executable).parent / "ringformer"
    if not command.exists():
        pytest.skip("the package is not installed, only on the path")
    done = subprocess.run([command, "user-dir"], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
