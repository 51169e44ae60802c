"""The ways to name the plug-in to fairseq, as real command lines."""

import os
import shutil
import sysconfig

import torch

import fairseq_ringformer
from fairseq_ringformer.cli.main import main


def test_folder_of_the_installed_package_from_elsewhere(command, fairseq, toy, trained, tmp_path, capsys):
    assert main(["user-dir"]) == 0
    folder = capsys.readouterr().out.strip()
    assert os.path.samefile(folder, os.path.dirname(fairseq_ringformer.__file__))
    path = trained("ringformer").last
    done = command(
        "fairseq-generate", toy.data, "--path", path, *fairseq.common, "--user-dir", folder, "--beam", "2", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = {
        int(line.split("\t")[0][2:]): line.split("\t")[2] for line in done.stdout.splitlines() if line.startswith("H-")
    }
    assert found == {number: best.text for number, (best,) in fairseq.generate(toy.data, path, "--beam", "2").items()}


# What fairseq-train does, in a Python that has read no .pth file, so that no editable installation is there. `help` is a
# built-in that fairseq needs by mistake and that the site module would have set.
TRAIN_WITHOUT_SITE = """
import _sitebuiltins, builtins
builtins.help = _sitebuiltins._Helper()
from fairseq_cli.train import cli_main
cli_main()
import fairseq_ringformer
print(fairseq_ringformer.__file__)
"""


def test_a_copy_of_the_folder_needs_no_installation(command, training_flags, toy, tmp_path):
    copy = tmp_path / "fairseq_ringformer"
    ignored = shutil.ignore_patterns("__pycache__", "cli", "analysis")
    shutil.copytree(os.path.dirname(fairseq_ringformer.__file__), copy, ignore=ignored)
    flags = training_flags(toy.data, tmp_path / "run")
    flags[flags.index("--user-dir") + 1] = str(copy)
    packages = {"PYTHONPATH": os.pathsep.join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})}
    absent = command("python", "-S", "-c", "import fairseq_ringformer", cwd=toy.text, env=packages)
    assert "No module named 'fairseq_ringformer'" in absent.stderr
    done = command("python", "-S", "-c", TRAIN_WITHOUT_SITE, *flags, "--max-update", "1", cwd=toy.text, env=packages)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == str(copy / "__init__.py")
    assert torch.load(tmp_path / "run" / "checkpoint_last.pt", weights_only=True)["model"]
