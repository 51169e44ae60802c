"""fairseq-train: what it stores, and that equal trainings end in equal weights."""

import re

import pytest
import torch

# Plain gradient descent: rounding stays as small as it is, where Adam divides it by tiny second moments.
SGD = ("--optimizer", "sgd", "--lr", "0.1", "--dropout", "0", "--activation-dropout", "0")
# With 16 or 8 test sentences in a batch, every epoch holds the same one or two batches.
WHOLE = ("--train-subset", "test", "--max-tokens", "10000", "--disable-validation")


def assert_same_weights(left, right, tolerance=0.0):
    assert left.keys() == right.keys()
    for name, weight in left.items():
        torch.testing.assert_close(weight, right[name], rtol=0, atol=tolerance, msg=lambda text: f"{name}: {text}")


def expected_parameters(source: int, target: int, width=16, hidden=32, levels=2, rank=1) -> int:
    """Parameters of a tiny ring, summed by hand from the paper."""
    attention, feed_forward, norm = 4 * width**2, 2 * width * hidden, 2 * width
    signals = 4 * rank * 2 * width  # of queries, keys, values and feed-forward
    encoder = attention + feed_forward + levels * (2 * norm + signals)
    decoder = 2 * attention + feed_forward + levels * (3 * norm + signals)
    return encoder + decoder + (source + 2 * target) * width  # two embeddings and the output head


def test_a_checkpoint_holds_each_weight_once(trained):
    weights = trained("ringformer").weights()
    assert len({weight.untyped_storage().data_ptr() for weight in weights.values()}) == len(weights)
    assert sum(weight.numel() for weight in weights.values()) == expected_parameters(source=15, target=14)


def test_training_learns(trained):
    losses = [float(loss) for _, loss in sorted(trained("ringformer").losses().items())]
    assert len(losses) == 80
    # Short and long batches alternate at random, and long ones cost more by token.
    assert sum(losses[-20:]) < 0.85 * sum(losses[:20])


def test_a_resumed_training_ends_as_the_uninterrupted_one(fairseq, toy):
    """Interrupted within an epoch of 9 updates and at its end; with dropout."""
    # fairseq draws batches anew where a run begins: with this flag, at every epoch.
    flags = ("--lr-scheduler", "inverse_sqrt", "--warmup-updates", "4", "--update-epoch-batch-itr", "True")
    whole = fairseq.train(toy.data, *flags, "--max-update", "13")
    run, losses = fairseq.train(toy.data, *flags, "--max-update", "5"), {}
    for updates in (9, 13):
        losses.update(run.losses())
        run = fairseq.train(toy.data, *flags, "--max-update", str(updates), save_dir=run.folder)
    assert {**losses, **run.losses()} == whole.losses() and list(run.losses()) == [10, 11, 12, 13]
    assert whole.losses("valid")[13] == run.losses("valid")[13]
    assert_same_weights(run.weights(), whole.weights())


def test_two_batches_in_turn_are_one_of_twice_the_size(fairseq, toy):
    flags = (*SGD, *WHOLE, "--max-update", "3")
    whole = fairseq.train(toy.data, *flags, "--batch-size", "16")
    halves = fairseq.train(toy.data, *flags, "--batch-size", "8", "--update-freq", "2")
    assert whole.losses().keys() == halves.losses().keys() == {1, 2, 3}
    assert_same_weights(halves.weights(), whole.weights(), tolerance=1e-6)


def test_recomputed_activations_give_the_same_weights(fairseq, toy, monkeypatch):
    from fairseq_ringformer.modules import level

    calls = []
    attend = level.attend
    monkeypatch.setattr(level, "attend", lambda *args, **kwargs: calls.append(1) or attend(*args, **kwargs))
    flags = ("--optimizer", "sgd", "--lr", "0.1", *WHOLE, "--max-update", "3")  # with dropout
    plain = fairseq.train(toy.data, *flags)
    once = len(calls)
    recomputed = fairseq.train(toy.data, *flags, "--checkpoint-activations")
    assert len(calls) == 3 * once, "every level runs again in the backward pass"
    assert_same_weights(recomputed.weights(), plain.weights(), tolerance=1e-6)


def test_validation_of_a_checkpoint_gives_the_loss_of_its_training(fairseq, toy):
    run = fairseq.train(toy.data, "--max-update", "8")
    flags = ("--task", "translation", "--valid-subset", "valid", "--max-tokens", "50")
    _, log = fairseq.call("validate", toy.data, "--path", run.last, *fairseq.common, *flags)
    loss = [float(numbers["valid_loss"]) for tag, numbers in log if tag == "valid"]
    assert loss == pytest.approx([float(run.losses("valid")[8])], abs=2e-3)


def test_bleu_in_training_and_afterwards(fairseq, toy, trained):
    flags = ("--eval-bleu", "--eval-bleu-args", '{"beam": 2, "max_len_b": 10}', "--eval-tokenized-bleu")
    flags += ("--best-checkpoint-metric", "bleu", "--maximize-best-checkpoint-metric")
    run = fairseq.train(toy.data, *flags, "--finetune-from-model", trained("ringformer").last, "--max-update", "2")
    (numbers,) = [numbers for tag, numbers in run.log if tag == "valid"]
    bleu = float(numbers["valid_bleu"])
    assert bleu > 0
    assert run.state("checkpoint_best.pt")["extra_state"]["val_loss"] == pytest.approx(bleu, abs=0.01)
    # The checkpoint holds BLEU's counts as numpy arrays; torch's safe loader reads them.
    resumed = fairseq.train(toy.data, *flags, "--max-update", "3", save_dir=run.folder)
    assert list(resumed.losses()) == [3]
    assert len(fairseq.generate(toy.data, resumed.last)) == 16


def test_ema_follows_the_weights_and_loads(fairseq, toy):
    flags = ("--store-ema", "--ema-decay", "0.75", "--disable-validation", "--save-interval-updates", "1")
    run = fairseq.train(toy.data, *flags, "--max-update", "4")
    steps = [run.state(f"checkpoint_1_{update}.pt") for update in (1, 2, 3, 4)]
    for before, after in zip(steps, steps[1:]):
        expected = {
            name: 0.75 * average + 0.25 * after["model"][name] for name, average in before["extra_state"]["ema"].items()
        }
        assert_same_weights(after["extra_state"]["ema"], expected, tolerance=1e-6)
    resumed = fairseq.train(toy.data, *flags, "--max-update", "6", save_dir=run.folder)
    whole = fairseq.train(toy.data, *flags, "--max-update", "6")
    assert_same_weights(resumed.state()["extra_state"]["ema"], whole.state()["extra_state"]["ema"], tolerance=1e-7)


def test_the_log_counts_the_parameters(fairseq, toy, caplog):
    with caplog.at_level("INFO", logger="fairseq_cli.train"):
        fairseq.train(toy.joined, "--share-all-embeddings", "--max-update", "1", "--disable-validation")
    (counted,) = re.findall(r"num. shared model params: ([\d,]+)", caplog.text)
    # One table of 25 symbols instead of 15 + 2 * 14 rows.
    assert int(counted.replace(",", "")) == expected_parameters(15, 14) + (25 - 15 - 2 * 14) * 16
