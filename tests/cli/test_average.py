import os
import pickle
import re

import pytest
import torch

from fairseq_ringformer.cli import average
from fairseq_ringformer.cli.errors import load_checkpoint
from fairseq_ringformer.errors import UserError


@pytest.fixture
def checkpoint(tmp_path):
    """Write a checkpoint with the given weights; extras go beside them."""

    def write(name, weights, updates=1, **extra):
        path = tmp_path / name
        settings = {"best_checkpoint_metric": "loss", "maximize_best_checkpoint_metric": extra.pop("up", False)}
        history = [{"num_updates": updates}]
        torch.save({"cfg": {"checkpoint": settings}, "model": weights, "optimizer_history": history, **extra}, path)
        return path

    return write


def test_average_is_the_mean_of_the_weights(toy, ringformer, tmp_path):
    paths = [toy.run / f"checkpoint{epoch}.pt" for epoch in (10, 20, 30)]
    status, out, err = ringformer("average", *paths, "--output", tmp_path / "mean.pt")
    assert (status, err) == (0, "")
    mean = torch.load(tmp_path / "mean.pt", weights_only=True)
    states = [torch.load(path, weights_only=True) for path in paths]
    assert mean["model"].keys() == states[0]["model"].keys()
    for key, value in mean["model"].items():
        expected = sum(state["model"][key].double() for state in states) / 3
        assert value.dtype == states[0]["model"][key].dtype
        torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-7)
    assert mean["cfg"] == states[-1]["cfg"]
    assert "last_optimizer_state" not in mean and "ema" not in mean["extra_state"]
    assert os.listdir(tmp_path) == ["mean.pt"]
    loss = states[0]["extra_state"]["val_loss"]
    assert f"checkpoint10.pt: 60 updates, valid loss {loss:.3f}\n" in out
    assert out.endswith(f"weights of 3 checkpoints written to {tmp_path}/mean.pt\n")


def test_average_of_one_checkpoint_is_itself(toy, ringformer, tmp_path):
    path = toy.run / "checkpoint30.pt"
    assert ringformer("average", path, "--output", tmp_path / "same.pt")[0] == 0
    expected = torch.load(path, weights_only=True)["model"]
    for key, value in torch.load(tmp_path / "same.pt", weights_only=True)["model"].items():
        assert value.equal(expected[key]), key


def test_fairseq_generate_reads_the_average(toy, ringformer, tmp_path, capsysbinary):
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq_cli import generate

    mean = tmp_path / "mean.pt"
    assert ringformer("average", "--dir", toy.run, "--last", 2, "--by", "epoch", "--output", mean)[0] == 0
    arguments = [str(toy.data), "--path", str(mean), "--gen-subset", "valid", "--cpu", "--num-workers", "0"]
    # fairseq drops the last batch where it is no multiple of this, 8 by default.
    arguments += ["--required-batch-size-multiple", "1"]
    args = options.parse_args_and_arch(options.get_generation_parser(), input_args=arguments)
    generate.main(convert_namespace_to_omegaconf(args))
    assert len(re.findall(rb"\bH-\d+\t", capsysbinary.readouterr().out)) == 10


def test_average_knows_how_far_the_run_was(toy, ringformer, tmp_path):
    from fairseq import checkpoint_utils

    mean = tmp_path / "mean.pt"
    assert ringformer("average", "--dir", toy.run, "--last", 2, "--by", "epoch", "--output", mean)[0] == 0
    state = checkpoint_utils.load_checkpoint_to_cpu(str(mean))
    assert state["extra_state"]["train_iterator"]["epoch"] == 31
    assert state["optimizer_history"][-1]["num_updates"] == 180


@pytest.mark.parametrize("run", ["run", "other"])
def test_ema_is_the_trainers(toy, ringformer, tmp_path, run):
    path = getattr(toy, run) / "checkpoint_last.pt"
    status, out, _ = ringformer("average", path, "--ema", "--output", tmp_path / "ema.pt")
    assert status == 0 and "EMA weights of 1 checkpoint written" in out
    weights = torch.load(tmp_path / "ema.pt", weights_only=True)["model"]
    assert weights.keys() == toy.ema[run].keys()
    for key, value in weights.items():
        assert value.equal(toy.ema[run][key]), key
    trained = torch.load(path, weights_only=True)["model"]
    assert any(not value.equal(trained[key]) for key, value in weights.items())


def test_unrounded_ema_is_preferred(checkpoint):
    weights = {"w": torch.zeros(2)}
    extra = {"ema": {"w": torch.ones(2)}, "ema_fp32_params": {"w": torch.full((2,), 3.0)}}
    assert average.ema_weights("x", {"model": weights, "extra_state": extra})["w"].tolist() == [3.0, 3.0]


def test_mean_keeps_types_and_whole_numbers():
    mean = average.Mean()
    steps = torch.tensor([7])
    mean.add("a", {"half": torch.tensor([1.0, 2.0]).half(), "steps": steps, "on": torch.tensor([True])})
    mean.add("b", {"half": torch.tensor([2.0, 5.0]).half(), "steps": steps, "on": torch.tensor([True])})
    result = mean.result()
    assert result["half"].dtype == torch.half and result["half"].tolist() == [1.5, 3.5]
    assert result["steps"].equal(steps) and result["on"].tolist() == [True]


def test_mean_is_summed_in_double_precision():
    mean = average.Mean()
    for value in (1e8, 1.0, -1e8):
        mean.add("x", {"w": torch.tensor([value])})
    assert mean.result()["w"].item() == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--last", "2", "--by", "epoch"], ["checkpoint9.pt", "checkpoint10.pt"]),
        (["--last", "2", "--by", "epoch", "--up-to", "9"], ["checkpoint8.pt", "checkpoint9.pt"]),
        (["--last", "2", "--by", "update"], ["checkpoint_1_900.pt", "checkpoint_2_1000.pt"]),
        (["--last", "1", "--by", "update", "--up-to", "999"], ["checkpoint_1_900.pt"]),
        (["--best", "2"], ["checkpoint.best_loss_10.1230.pt", "checkpoint.best_loss_9.5001.pt"]),
    ],
)
def test_which_checkpoints_of_a_folder(checkpoint, ringformer, tmp_path, arguments, names):
    for name in (
        "checkpoint8.pt",
        "checkpoint9.pt",
        "checkpoint10.pt",
        "checkpoint_last.pt",
        "checkpoint_best.pt",
        "checkpoint_1_900.pt",
        "checkpoint_2_1000.pt",
        "checkpoint.best_loss_9.5001.pt",
        "checkpoint.best_loss_10.1230.pt",
        "checkpoint.best_loss_11.0002.pt",
    ):
        checkpoint(name, {"w": torch.ones(1)})
    status, out, _ = ringformer("average", "--dir", tmp_path, *arguments, "--output", tmp_path / "out.pt")
    assert status == 0
    assert [os.path.basename(line.split(":")[0]) for line in out.splitlines()[:-1]] == names
    assert torch.load(tmp_path / "out.pt", weights_only=True)["averaged_from"] == names


def test_best_is_highest_where_the_run_maximises(checkpoint, tmp_path):
    for score in ("9.5001", "10.1230", "11.0002"):
        checkpoint(f"checkpoint.best_bleu_{score}.pt", {"w": torch.ones(1)}, up=True)
    names = [os.path.basename(path) for path in average.best(str(tmp_path), 2)]
    assert names == ["checkpoint.best_bleu_10.1230.pt", "checkpoint.best_bleu_11.0002.pt"]


def test_best_of_a_real_run(toy, ringformer, tmp_path):
    status, out, _ = ringformer("average", "--dir", toy.run, "--best", 2, "--output", tmp_path / "out.pt")
    losses = [float(line.rsplit(" ", 1)[1]) for line in out.splitlines()[:-1]]
    kept = sorted(load_checkpoint(str(path))["extra_state"]["val_loss"] for path in toy.run.glob("*best_loss*"))
    assert status == 0 and losses == [pytest.approx(loss, abs=1e-3) for loss in kept[1::-1]]


def test_metadata_is_the_newest_checkpoints(checkpoint, ringformer, tmp_path):
    paths = [checkpoint("b.pt", {"w": torch.ones(1)}, updates=20), checkpoint("a.pt", {"w": torch.ones(1)}, updates=10)]
    ringformer("average", *paths, "--output", tmp_path / "out.pt")
    assert torch.load(tmp_path / "out.pt", weights_only=True)["optimizer_history"][-1]["num_updates"] == 20


def test_output_is_replaced_whole(toy, ringformer, tmp_path, monkeypatch):
    output = tmp_path / "out.pt"
    path = toy.run / "checkpoint30.pt"
    assert ringformer("average", path, "--output", output)[0] == 0
    before = output.read_bytes()

    def full(state, stream):
        stream.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    status, _, err = ringformer("average", toy.run / "checkpoint20.pt", "--output", output)
    assert status == 2 and err == f"ringformer average: cannot write {output}: No space left on device\n"
    assert output.read_bytes() == before and os.listdir(tmp_path) == ["out.pt"]


def test_contradictions(toy, refused, tmp_path):
    out = ["--output", tmp_path / "out.pt"]
    path = toy.run / "checkpoint30.pt"
    assert "no checkpoints: name them, or use --dir DIR with --last N or --best N" in refused("average", *out)
    assert "--dir excludes checkpoints by name" in refused("average", path, "--dir", toy.run, "--last", 1, *out)
    assert "--dir needs --last N or --best N" in refused("average", "--dir", toy.run, *out)
    assert "--up-to chooses among the checkpoints of a folder" in refused("average", path, "--up-to", 3, *out)
    assert "--best excludes --by" in refused("average", "--dir", toy.run, "--best", 1, "--by", "epoch", *out)
    assert "say --by update or --by epoch" in refused("average", "--dir", toy.run, "--last", 1, *out)
    assert "is given twice" in refused("average", path, toy.run / "../run/checkpoint30.pt", *out)
    assert "is one of the checkpoints to read" in refused("average", path, "--output", path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_counts_are_positive(ringformer, capsysbinary, number):
    with pytest.raises(SystemExit) as error:
        ringformer("average", "--dir", "x", "--last", number, "--output", "y")
    assert error.value.code == 2
    assert b"--last: " in capsysbinary.readouterr().err


def test_missing_places(toy, refused, tmp_path):
    path = toy.run / "checkpoint30.pt"
    assert "/no: no such folder for --output" in refused("average", path, "--output", tmp_path / "no/out.pt")
    assert "is a folder: name a file" in refused("average", path, "--output", tmp_path)
    assert "no.pt: no such checkpoint" in refused("average", tmp_path / "no.pt", "--output", tmp_path / "out.pt")
    assert "/no: no such folder" in refused("average", "--dir", tmp_path / "no", "--last", 1, "--output", "out.pt")


def test_fewer_checkpoints_than_wanted(toy, refused, tmp_path):
    command = ["average", "--dir", toy.run, "--output", tmp_path / "out.pt"]
    assert refused(*command, "--last", 5, "--by", "epoch").endswith(
        "5 checkpoints by epoch wanted, there are only 3: checkpoint10.pt, checkpoint20.pt, checkpoint30.pt\n"
    )
    assert refused(*command, "--last", 2, "--by", "epoch", "--up-to", 19).endswith(
        "2 checkpoints by epoch up to epoch 19 wanted, there is only 1: checkpoint10.pt\n"
    )
    assert "7 checkpoints kept as best" in refused(*command, "--best", 7)
    command[2] = toy.other
    assert refused(*command, "--last", 1).endswith("1 checkpoints by update wanted, there is none\n")
    assert "--keep-best-checkpoints N keeps them) wanted, there is none" in refused(*command, "--best", 1)


def test_best_by_several_metrics(checkpoint, tmp_path):
    for name in ("checkpoint.best_loss_9.5001.pt", "checkpoint.best_bleu_9.5001.pt"):
        checkpoint(name, {"w": torch.ones(1)})
    with pytest.raises(UserError, match="best checkpoints by bleu and by loss: name those to average"):
        average.best(str(tmp_path), 1)


def test_another_architecture(toy, ringformer, tmp_path):
    paths = [toy.run / "checkpoint_last.pt", toy.other / "checkpoint_last.pt"]
    status, _, err = ringformer("average", *paths, "--output", tmp_path / "out.pt")
    assert status == 2 and err.count("\n") == 1
    assert f"{paths[1]}: of another architecture than the checkpoints before it: " in err and "is (" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ({"a": 1.0, "b": 1.0}, {"a": 1.0}, "it lacks b"),
        ({"a": 1.0}, {"a": 1.0, "b": 1.0}, "it has b"),
        ({"a": 1}, {"a": 2}, "a holds whole numbers that differ"),
        ({"a": 1.0}, {"a": float("nan")}, "a is not a number (NaN) in places"),
    ],
)
def test_weights_that_cannot_be_averaged(first, second, text):
    mean = average.Mean()
    mean.add("first.pt", {key: torch.tensor([value]) for key, value in first.items()})
    with pytest.raises(UserError) as error:
        mean.add("second.pt", {key: torch.tensor([value]) for key, value in second.items()})
    assert str(error.value).startswith("second.pt: ") and text in str(error.value)


def test_no_ema(checkpoint, refused, tmp_path):
    path = checkpoint("plain.pt", {"w": torch.ones(1)}, extra_state={})
    err = refused("average", path, "--ema", "--output", tmp_path / "out.pt")
    assert f"{path} holds no EMA weights: train with --store-ema" in err


def test_truncated_checkpoint(toy, refused, tmp_path):
    whole = (toy.run / "checkpoint30.pt").read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 10):
        (tmp_path / "cut.pt").write_bytes(whole[:length])
        err = refused("average", tmp_path / "cut.pt", "--output", tmp_path / "out.pt")
        assert "cut.pt: " in err and "damaged" in err
    assert os.listdir(tmp_path) == ["cut.pt"]


class Malicious:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_malicious_checkpoint_is_not_executed(refused, tmp_path, write):
    harm = tmp_path / "harm"
    write({"model": {}, "cfg": Malicious(harm)}, tmp_path / "bad.pt")
    err = refused("average", tmp_path / "bad.pt", "--output", tmp_path / "out.pt")
    assert "nothing in it was executed" in err
    assert not harm.exists()


def test_readable_file_that_is_no_checkpoint(refused, tmp_path):
    torch.save({"weights": torch.ones(1)}, tmp_path / "other.pt")
    err = refused("average", tmp_path / "other.pt", "--output", tmp_path / "out.pt")
    assert "a readable file, but no fairseq checkpoint (it holds no model)" in err


def test_what_an_old_checkpoint_lacks_stays_absent(checkpoint, ringformer, tmp_path):
    """fairseq reads a task_state as soon as there is the key."""
    path = checkpoint("old.pt", {"w": torch.ones(2)}, args=None)
    assert ringformer("average", path, "--output", tmp_path / "mean.pt")[0] == 0
    mean = torch.load(tmp_path / "mean.pt", weights_only=True)
    assert set(mean) == {"args", "cfg", "optimizer_history", "extra_state", "model", "averaged_from"}
