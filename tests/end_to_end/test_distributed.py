"""Two processes compute what one does."""

import os
import shlex

import pytest
import torch

from tests.building import MODELS
from tests.end_to_end import ddp_gradients

# Every update sees the whole test set: two processes, or two batches in turn, see half of it each.
HALVES = (
    "--train-subset test --batch-size 8 --disable-validation --max-update 3 --optimizer sgd --lr 0.1 --dropout 0 "
    "--activation-dropout 0"
).split()
# fairseq takes its rank from a flag, torchrun gives it in the environment: hence the shell in between.
TWO_PROCESSES = (
    "{train} --distributed-world-size 2 --distributed-init-method env:// --distributed-no-spawn "
    '--distributed-rank "$RANK" --distributed-backend gloo --ddp-backend legacy_ddp'
)


@pytest.mark.parametrize(
    "model", ["ringformer", *(pytest.param(model, marks=pytest.mark.slow) for model in MODELS if model != "ringformer")]
)
def test_two_processes_train_as_one_with_two_batches_in_turn(model, fairseq, toy, command, training_flags, tmp_path):
    flags = training_flags(toy.data, tmp_path, f"{model}_tiny") + list(HALVES)
    for updates in ("2", "3"):  # the second command resumes
        train = TWO_PROCESSES.format(train=shlex.join(["fairseq-train", *flags, "--max-update", updates]))
        done = command("torchrun", "--standalone", "--nproc_per_node", "2", "--no-python", "bash", "-c", train)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "training on 2 devices" in done.stdout
    pair = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)["model"]
    one = fairseq.train(toy.data, *HALVES, "--update-freq", "2", arch=f"{model}_tiny").weights()
    assert pair.keys() == one.keys()
    for name, weight in one.items():
        torch.testing.assert_close(pair[name], weight, rtol=0, atol=1e-6, msg=lambda text: f"{name}: {text}")


def test_gradients_under_distributed_data_parallel(command, tmp_path):
    script = ddp_gradients.__file__
    root = os.path.dirname(os.path.dirname(os.path.dirname(script)))
    output = tmp_path / "gradients.pt"
    done = command("torchrun", "--standalone", "--nproc_per_node", "2", script, output, env={"PYTHONPATH": root})
    assert done.returncode == 0, done.stderr[-3000:]
    distributed = torch.load(output, weights_only=True)
    assert distributed.keys() == ddp_gradients.CASES.keys()
    for case, found in distributed.items():
        model, (source, target) = ddp_gradients.make(case)
        expected = ddp_gradients.gradients(model, model, source, target)
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            assert gradient.abs().max() > 0, f"{case}: {name} has no part in the loss"
            # DistributedDataParallel averages over processes.
            torch.testing.assert_close(
                2 * found[name], gradient, rtol=1e-4, atol=1e-4, msg=lambda text: f"{case}: {name}: {text}"
            )
