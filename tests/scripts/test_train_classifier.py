"""scripts/train_classifier.sh: which commands it calls."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "train_classifier.sh"


@pytest.fixture
def calls(tmp_path):
    """The commands that the script calls, which are stubs that write them down."""
    for path in ("scripts/setup.sh", ".venv/bin/ringformer", "examples/fashion_mnist/prepare.sh"):
        stub = tmp_path / path
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text('#!/usr/bin/env bash\necho "${0##*/} $*" >>calls.txt\n')
        stub.chmod(0o755)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    shutil.copy(SCRIPT.with_name("go_to_root.sh"), tmp_path / "scripts")
    script = shutil.copy(SCRIPT, tmp_path / "scripts")

    def called(*arguments):
        subprocess.run(["bash", script, *arguments], check=True, capture_output=True, cwd=tmp_path)
        return (tmp_path / "calls.txt").read_text().splitlines()[-2:]

    return called


@pytest.mark.parametrize("written", [["--seed", "2", "--epochs", "5"], ["--seed=2", "--epochs=5"]])
def test_fashion_mnist(calls, written):
    assert calls("--data", "fashion-mnist", *written) == [
        "ringformer train-classifier --config examples/fashion_mnist/config.yaml --data data/fashion_mnist --dataset "
        "torch/fashion_mnist --model vit_ring_tiny_patch4_28 --seed 2 --output runs/vit_ring_tiny_patch4_28_seed2 --epochs 5",
        "ringformer evaluate --path runs/vit_ring_tiny_patch4_28_seed2/best.pt --data data/fashion_mnist --dataset "
        "torch/fashion_mnist --per-class",
    ]


def test_what_the_configuration_says_holds_for_every_step(calls, tmp_path):
    config = tmp_path / "own.yaml"
    config.write_text(
        "model: vit_owf_tiny_patch4_28\nseed: 7\noutput: mine\ndataset: wds/\nvalid_split: val\nlr: 0.1\n"
    )
    training, evaluation = calls("--data", "images", "--config", "own.yaml")
    assert training == (
        "ringformer train-classifier --config own.yaml --data images --dataset wds/ --valid-split val "
        "--model vit_owf_tiny_patch4_28 --seed 7 --output mine"
    )
    assert evaluation == "ringformer evaluate --path mine/best.pt --data images --dataset wds/ --split val --per-class"
    assert (
        "--model vit_ring --seed 1 --output x"
        in calls("--data", "images", "--config", "own.yaml", "--model=vit_ring", "--seed", "1", "--output=x")[0]
    )


def test_a_configuration_that_is_no_text_is_left_to_the_training_to_refuse(calls, tmp_path):
    (tmp_path / "own.yaml").write_bytes(b"\xff")
    assert "train-classifier --config own.yaml --data images" in calls("--data", "images", "--config", "own.yaml")[0]
