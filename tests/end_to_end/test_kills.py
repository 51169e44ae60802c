"""Work that is killed at any moment goes on, or begins anew, and ends as if nothing had happened."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from fairseq_ringformer.files import read_checkpoint
from tests.cli.classifiers import CLASSES, classifier
from tests.vision.images import write_folder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
RINGFORMER = Path(sys.executable).parent / "ringformer"
RECIPE = ROOT / "examples/debian_de_en"
KILLS = 3
TINY = "--encoder-embed-dim 32 --encoder-ffn-embed-dim 64 --encoder-layers 2 --decoder-layers 2".split()
NUMBERS = "--source numbers --target-lang nl --sizes 600 40 40 --vocab-size 150".split()


def prepare(inputs, out):
    return [RECIPE / "prepare.sh", *NUMBERS, "--output", out / "data"]


def train(inputs, out):
    # Two epochs and a half, a checkpoint at every other update.
    length = ["--max-update", 50, "--warmup-updates", 4, "--save-interval-updates", 2, "--keep-interval-updates", 2]
    return [RECIPE / "train.sh", "--data", inputs / "data", "--output", out, *length, *TINY]


def train_classifier(inputs, out):
    length = ["--epochs", 8, "--batch-size", 10, "--save-interval", 1, "--workers", 0, "--device", "cpu"]
    model = ["--model", "vit_ring_tiny_patch4_28", "--img-size", 16]
    return [RINGFORMER, "train-classifier", "--data", inputs / "images", *model, "--output", out / "run", *length]


def average(inputs, out):
    source = ["--dir", inputs / "run/checkpoints", "--last", 2, "--by", "update"]
    return [RINGFORMER, "average", *source, "--output", out / "average.pt"]


def fold(inputs, out):
    last = inputs / "run/checkpoints/checkpoint_last.pt"
    return [RINGFORMER, "fold", "--path", last, "--output", out / "folded.pt"]


def export(inputs, out):
    source = ["--path", inputs / "run/checkpoints/checkpoint_last.pt", "--data", inputs / "data/bin"]
    return [RINGFORMER, "export", "--to", "ctranslate2", *source, "--output", out / "model", "--force"]


def export_onnx(inputs, out):
    return [
        RINGFORMER,
        "export",
        "--to",
        "onnx",
        "--path",
        inputs / "ring/best.pt",
        "--output",
        out / "x.onnx",
        "--force",
    ]


# What is compared: weights of checkpoints, bytes of other files.
JOBS = {
    prepare: ["data/bin/*.bin", "data/bin/*.idx", "data/bin/dict.*", "data/raw/*.nl", "data/recipe.json"],
    train: ["checkpoints/checkpoint_last.pt"],
    train_classifier: ["run/last.pt", "run/best.pt"],
    average: ["average.pt"],
    fold: ["folded.pt"],
    export: ["model/*"],
    export_onnx: ["x.onnx"],
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    finish(prepare(folder, folder), folder / "log")
    finish(train(folder, folder / "run"), folder / "log")
    write_folder(folder / "images/train", classes=CLASSES, count=8, size=16)
    write_folder(folder / "images/validation", classes=CLASSES, count=2, size=16)
    classifier(folder / "ring" / "best.pt")
    return folder


def start(command, log):
    with open(log, "ab") as stream:
        return subprocess.Popen(list(map(str, command)), stdout=stream, stderr=stream, cwd=ROOT, start_new_session=True)


def finish(command, log) -> float:
    """Run to the end; how long it took."""
    began = time.monotonic()
    assert start(command, log).wait() == 0, log.read_text(errors="replace")[-2000:]
    return time.monotonic() - began


def kill(process, how):
    """Send `how` to a process and all that it has started, as a queue or a power cut would."""
    for running in [*psutil.Process(process.pid).children(recursive=True), process]:
        try:
            running.send_signal(how)
        except psutil.NoSuchProcess:
            pass
    for _ in range(100):
        if process.poll() is not None:
            return
        time.sleep(0.1)
    raise AssertionError("it does not end")


def content(path):
    if path.suffix != ".pt":
        return path.read_bytes()
    state = read_checkpoint(path)
    return state["model"] if "model" in state else state["state_dict"]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.__name__)
def test_killed_work_ends_as_uninterrupted_work(job, inputs, tmp_path):
    rng = random.Random(job.__name__)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    seconds = finish(job(inputs, whole), tmp_path / "log")
    # Where an output is only replaced, the one from before must stay whole.
    replaced = job not in (prepare, train, train_classifier)
    if replaced:
        finish(job(inputs, killed), tmp_path / "log")
    for turn in range(KILLS):
        process = start(job(inputs, killed), tmp_path / "log")
        time.sleep(rng.uniform(0.3, 1.0) * seconds)
        if process.poll() is None:
            kill(process, (signal.SIGKILL, signal.SIGTERM)[turn % 2])
        if replaced:
            compare(job, whole, killed)
    finish(job(inputs, killed), tmp_path / "log")
    compare(job, whole, killed)
    assert not list(killed.rglob(".partial*"))
    shutil.rmtree(killed)


def compare(job, whole, killed):
    """The files of both are equal, to the bit."""
    for pattern in JOBS[job]:
        expected = sorted(path.relative_to(whole) for path in whole.glob(pattern))
        assert expected and sorted(path.relative_to(killed) for path in killed.glob(pattern)) == expected
        for name in expected:
            one, other = content(whole / name), content(killed / name)
            if isinstance(one, dict):
                assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
            else:
                assert one == other, name
