"""`--autocast bf16` through fairseq's commands, on the CPU."""

import pytest
import torch


@pytest.fixture(scope="module")
def both(fairseq, toy):
    """The same short training in float32 and in bfloat16."""
    flags = ("--max-update", "40", "--lr", "5e-3", "--dropout", "0", "--activation-dropout", "0")
    return {kind: fairseq.train(toy.data, *flags, "--autocast", kind) for kind in ("none", "bf16")}


def test_training_in_bfloat16_keeps_float32_weights_and_learns_the_same(both):
    assert all(weight.dtype == torch.float32 for weight in both["bf16"].weights().values())
    exact, rounded = ({update: float(loss) for update, loss in run.losses().items()} for run in both.values())
    assert exact.keys() == rounded.keys() and exact != rounded
    assert max(exact) >= 40 and exact[40] < 0.8 * exact[1]
    assert all(abs(rounded[update] - loss) < 0.05 * loss for update, loss in exact.items())


def test_the_checkpoint_remembers_and_an_override_forgets(both, fairseq, toy):
    path = both["bf16"].last
    remembered = fairseq.generate(toy.data, path, "--beam", "2")
    asked = fairseq.generate(toy.data, path, "--beam", "2", "--model-overrides", "{'autocast': 'bf16'}")
    exact = fairseq.generate(toy.data, path, "--beam", "2", "--model-overrides", "{'autocast': 'none'}")
    assert remembered == asked != exact
    # Rounding may turn a search another way, but seldom far.
    apart = [abs(remembered[number][0].score - hypotheses[0].score) for number, hypotheses in exact.items()]
    assert sorted(apart)[len(apart) // 2] < 0.05 and sum(apart) / len(apart) < 0.15


def test_validation_runs_in_bfloat16(both, fairseq, toy):
    losses = []
    for kind in ("bf16", "none"):
        flags = ("--task", "translation", "--valid-subset", "valid", "--max-tokens", "50")
        flags += ("--model-overrides", f"{{'autocast': '{kind}'}}")
        _, log = fairseq.call("validate", toy.data, "--path", both["bf16"].last, *fairseq.common, *flags)
        losses += [float(numbers["valid_loss"]) for tag, numbers in log if tag == "valid"]
    rounded, exact = losses
    assert rounded == pytest.approx(exact, rel=0.02)
