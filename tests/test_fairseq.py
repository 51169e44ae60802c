import argparse
import importlib.metadata
import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch

from fairseq_ringformer import _fairseq
from fairseq_ringformer.errors import UserError
from tests.hostile import Harm

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def installed(monkeypatch):
    """Pretend that these distributions are what is installed, or with `spec` False that there is no fairseq at all."""

    def pretend(spec=True, **versions):
        def version(name):
            if name.replace("-", "_") not in versions:
                raise importlib.metadata.PackageNotFoundError(name)
            return versions[name.replace("-", "_")]

        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if spec else None)

    return pretend


@pytest.mark.parametrize(
    "versions",
    [
        {"fairseq_fixed": "0.12.3.1"},
        {"fairseq_fixed": "0.12.3.1", "fairseq": "0.12.2"},
        {"fairseq": "0.12.3"},
        {"fairseq": "1.0.0a0"},
        {},  # a source tree
    ],
)
def test_a_usable_fairseq_is_taken(installed, versions):
    installed(**versions)
    _fairseq.check_fairseq()


def test_fairseq_0_12_2_is_refused_with_the_remedy(installed):
    installed(fairseq="0.12.2")
    with pytest.raises(
        ImportError, match="fairseq 0.12.2 is too old.*pip uninstall fairseq, then pip install fairseq-fixed"
    ):
        _fairseq.check_fairseq()


def test_no_fairseq_is_a_users_mistake_and_an_import_error(installed):
    installed(spec=False)
    for kind in (UserError, ImportError):
        with pytest.raises(kind, match="translation models need fairseq.*scripts/setup.sh fairseq"):
            _fairseq.check_fairseq()


def test_the_modules_import_neither_fairseq_nor_timm():
    code = (
        "import sys; sys.modules['fairseq'] = sys.modules['timm'] = None\n"  # importing either now fails
        "import fairseq_ringformer.modules, torch\n"
        "stack = fairseq_ringformer.modules.Stack(fairseq_ringformer.modules.StackConfig(\n"
        "    8, 2, 16, self_attn=(0, 0), ffn=(0, 0), norm=(0, 1), signal='low-rank', signal_rank=1, signals={'ffn.fc1': 'before'}))\n"
        "print(tuple(stack(torch.zeros(1, 3, 8)).state.shape))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert out.stdout.strip() == "(1, 3, 8)", out.stderr


def test_safe_loading_takes_what_checkpoints_hold_and_no_more(tmp_path):
    _fairseq.allow_safe_loading()
    path = tmp_path / "checkpoint.pt"
    state = {
        "args": argparse.Namespace(arch="a"),
        "loss": numpy.float64(1.5),
        "updates": numpy.int64(3),
        "w": torch.ones(2),
    }
    torch.save(state, path)
    loaded = torch.load(path, weights_only=True)
    assert loaded["args"].arch == "a" and loaded["loss"] == 1.5 and loaded["updates"] == 3

    torch.save({"model": Harm(tmp_path / "executed")}, path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    assert not (tmp_path / "executed").exists()


def test_safe_loading_outlives_timms(tmp_path):
    """timm allows namespaces while it loads a checkpoint, and takes them off the list after it."""
    _fairseq.allow_safe_loading()
    torch.save({"args": argparse.Namespace(arch="a")}, tmp_path / "checkpoint.pt")
    with torch.serialization.safe_globals([argparse.Namespace]):
        pass
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["args"].arch == "a"


def python(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_nothing_large():
    large = "{'torch', 'timm', 'yaml', 'accelerate'}"
    code = f"import sys, fairseq_ringformer.cli.main as m; m.build_parser().format_help(); print({large} & set(sys.modules))"
    assert python(code) == "set()\n"


@pytest.mark.parametrize(
    "imports",
    [
        "import fairseq, fairseq_ringformer.models",
        "import fairseq_ringformer.models.config, fairseq",
        "from fairseq_ringformer.cli.errors import require_fairseq as r; r()",
    ],
)
def test_whoever_imports_the_models_has_them_registered(imports):
    code = f"{imports}; from fairseq.models import ARCH_MODEL_REGISTRY as r; print(r['ringformer_tiny'].__name__)"
    assert python(code) == "RingFormerModel\n"


def test_checkpoints_are_read_without_fairseq(tmp_path):
    """Its checkpoints hold its arguments; what is done with them may need no fairseq."""
    path = tmp_path / "checkpoint.pt"
    torch.save({"args": argparse.Namespace(arch="a")}, path)
    code = "import sys; from fairseq_ringformer.files import read_checkpoint as r"
    assert python(f"{code}; print(r({str(path)!r})['args'].arch, 'fairseq' in sys.modules)") == "a False\n"
