"""Training and evaluating in two processes is training and evaluating in one."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.vision.images import damage, write_splits
from tests.vision.training.tiny import MODEL, PLAIN, SIZES, last, launch, rows, same_weights, train

LAUNCHED = "fairseq_ringformer.cli.main"
STEADY = dict(PLAIN, opt="sgd", lr=0.1)
FLAGS = (
    f"train-classifier --model {MODEL} --img-size 8 --device cpu --log-interval 2 --workers 0 "
    f"--model-arg {' '.join(f'{name}={value}' for name, value in SIZES.items())} "
    "--crop none --hflip 0 --opt sgd --lr 0.1 --epochs 2"
).split()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """22 images to train on, one of them damaged, and 9 to evaluate on, one damaged: no batch size divides them."""
    folder = write_splits(
        tmp_path_factory.mktemp("images"), train=11, validation=5, size=8, mode="L", classes=("a", "b")
    )
    damage(folder / "train/a/4.png")
    damage(folder / "validation/b/2.png")
    return folder


@pytest.fixture(scope="module")
def single(data, tmp_path_factory):
    """A training in one process, of batches of 8."""
    folder = tmp_path_factory.mktemp("single")
    train(data, folder, epochs=2, batch_size=8, **STEADY)
    return folder


def assert_same_run(single, double):
    assert same_weights(last(single)["state_dict"], last(double)["state_dict"], atol=1e-5)
    assert len(rows(single)) == len(rows(double)) == 2
    for left, right in zip(rows(single), rows(double)):
        for name in ("train_loss", "train_top1", "valid_loss", "valid_top1", "lr", "update", "damaged"):
            assert float(left[name]) == pytest.approx(float(right[name]), abs=2e-5), name
    assert (single / "damaged.txt").read_text() == (double / "damaged.txt").read_text()


def test_two_processes(data, single, tmp_path):
    """And only the first of them prints."""
    done = launch(2, LAUNCHED, *FLAGS, "--batch-size", 4, "--data", data, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 and done.stderr.count("epoch 1 ends") == 1
    assert_same_run(single, tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["machine"]["processes"] == 2


@pytest.mark.slow
def test_two_processes_evaluate(data, single, tmp_path, capsys):
    from fairseq_ringformer.cli.main import main

    command = ["evaluate", "--path", single / "best.pt", "--data", data]
    command += "--batch-size 4 --workers 0 --per-class --device cpu --json".split()
    assert main([str(argument) for argument in (*command, tmp_path / "one.json")]) == 0
    done = launch(2, LAUNCHED, *command, tmp_path / "two.json")
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    assert two["images"] == 9 and two["damaged"] == 1
    assert two.pop("loss") == pytest.approx(one.pop("loss"), abs=1e-6) and one == two
    assert done.stdout == capsys.readouterr().out


@pytest.mark.slow
def test_accelerate_launch_with_accumulation(data, single, tmp_path):
    flags = [*FLAGS, "--batch-size", 2, "--grad-accum", 2, "--data", data, "--output", tmp_path]
    done = launch(2, LAUNCHED, *flags, launcher="accelerate")
    assert done.returncode == 0, done.stderr
    assert_same_run(single, tmp_path)


@pytest.mark.slow
def test_the_first_process_tells_of_a_mistake(data, tmp_path):
    done = launch(2, LAUNCHED, *FLAGS, "--batch-size", 400, "--data", data, "--output", tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("ringformer train-classifier: the batch is larger than the data") == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_training_goes_on(data, single, tmp_path, how):
    """Stop it wherever it is, again and again; in the end it is the training that nothing has stopped."""
    command = [sys.executable, "-m", LAUNCHED, *FLAGS, "--data", data, "--output", tmp_path]
    command += "--batch-size 8 --save-interval 1".split()
    for seconds in (3, 5, 5.5, 6, 6.5, 7):
        process = subprocess.Popen(
            list(map(str, command)), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[3]
        )
        time.sleep(seconds)
        process.send_signal(how)
        process.wait()
    subprocess.run(list(map(str, command)), check=True, capture_output=True, cwd=Path(__file__).parents[3])
    assert_same_run(single, tmp_path)
