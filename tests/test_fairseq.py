import argparse
import importlib.metadata
import pickle
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch

from fairseq_ringformer import _fairseq

ROOT = Path(__file__).resolve().parents[1]


def installed(monkeypatch, spec=True, **versions):
    """Pretend that these distributions are what is installed."""

    def version(name):
        if name.replace("-", "_") not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name.replace("-", "_")]

    monkeypatch.setattr(_fairseq.importlib.metadata, "version", version)
    monkeypatch.setattr(_fairseq.importlib.util, "find_spec", lambda name: object() if spec else None)


def test_the_fixed_fairseq_is_taken(monkeypatch):
    installed(monkeypatch, fairseq_fixed="0.12.3.1")
    assert _fairseq.check_fairseq()


def test_a_newer_fairseq_or_a_source_tree_is_taken(monkeypatch):
    for version in ("0.12.3", "0.12.3a0", "0.13.0", "1.0.0"):
        installed(monkeypatch, fairseq=version)
        assert _fairseq.check_fairseq()
    installed(monkeypatch)
    assert _fairseq.check_fairseq()


def test_fairseq_0_12_2_is_refused_with_the_remedy(monkeypatch):
    installed(monkeypatch, fairseq="0.12.2")
    with pytest.raises(
        ImportError, match="fairseq 0.12.2 is too old.*pip uninstall fairseq, then pip install fairseq-fixed"
    ):
        _fairseq.check_fairseq(required=False)


def test_no_fairseq_is_said_only_where_it_is_needed(monkeypatch):
    installed(monkeypatch, spec=False)
    assert not _fairseq.check_fairseq(required=False)
    with pytest.raises(ImportError, match="fairseq is not installed: pip install fairseq-fixed"):
        _fairseq.check_fairseq()


def test_the_modules_import_neither_fairseq_nor_timm():
    code = (
        "import importlib.machinery, sys\n"
        "sys.modules['fairseq'] = None; sys.modules['timm'] = None\n"  # importing either now fails
        "import importlib.util; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'fairseq' else find(name, *rest)\n"
        "import fairseq_ringformer.modules, torch\n"
        "stack = fairseq_ringformer.modules.Stack(fairseq_ringformer.modules.StackConfig(\n"
        "    8, 2, 16, self_attn=(0, 0), ffn=(0, 0), norm=(0, 1), signal='low-rank', signal_rank=1, ffn_signal='before'))\n"
        "print(tuple(stack(torch.zeros(1, 3, 8)).state.shape))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert out.stdout.strip() == "(1, 3, 8)", out.stderr


def test_safe_loading_takes_what_checkpoints_hold_and_no_more(tmp_path):
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

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"model": Evil()}, path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    assert not (tmp_path / "executed").exists()


def test_safe_loading_outlives_timms(tmp_path):
    """timm allows namespaces while it loads a checkpoint, and takes them off the list after it."""
    torch.save({"args": argparse.Namespace(arch="a")}, tmp_path / "checkpoint.pt")
    with torch.serialization.safe_globals([argparse.Namespace]):
        pass
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["args"].arch == "a"


def python(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_nothing_large():
    code = "import sys, fairseq_ringformer.cli.main as m; m.build_parser(); print('torch' in sys.modules)"
    assert python(code) == "False\n"


@pytest.mark.parametrize(
    "imports",
    [
        "import fairseq_ringformer, fairseq",
        "import fairseq, fairseq_ringformer",
        "import fairseq_ringformer; from fairseq.models import register_model",
        "import fairseq_ringformer, importlib.util; importlib.util.find_spec('fairseq'); import fairseq",
        "from fairseq_ringformer.cli.errors import require_fairseq as r; r()",
        "import fairseq_ringformer.models.config",
        "import fairseq_ringformer.export.loading",
        "import fairseq_ringformer.analysis.counts.translation",
    ],
)
def test_models_are_registered_in_any_order(imports):
    code = f"{imports}; from fairseq.models import ARCH_MODEL_REGISTRY as r; print(r['ringformer_tiny'].__name__)"
    assert python(code) == "RingFormerModel\n"


@pytest.mark.parametrize(
    "imports",
    [
        "import fairseq_ringformer, torch",
        "import torch, fairseq_ringformer",
        "import fairseq_ringformer, importlib.util; importlib.util.find_spec('torch'); import torch",
    ],
)
def test_safe_loading_needs_no_fairseq(imports):
    code = f"{imports}, sys; print(len(torch.serialization.get_safe_globals()) > 5, 'fairseq' in sys.modules)"
    assert python(code) == "True False\n"
