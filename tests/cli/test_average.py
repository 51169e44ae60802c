import os
import re

import pytest
import torch


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


@pytest.mark.parametrize("chosen", [("--last", 2, "--by", "epoch"), ("--best", 2)])
def test_checkpoints_of_a_folder(toy, ringformer, tmp_path, chosen):
    status, out, _ = ringformer("average", "--dir", toy.run, *chosen, "--output", tmp_path / "out.pt")
    names = [os.path.basename(line.split(":")[0]) for line in out.splitlines()[:-1]]
    assert status == 0 and torch.load(tmp_path / "out.pt", weights_only=True)["averaged_from"] == names
    if "--last" in chosen:
        assert names == ["checkpoint20.pt", "checkpoint30.pt"]
    else:
        scores = sorted(float(path.stem.rsplit("_", 1)[1]) for path in toy.run.glob("*best_loss*"))
        assert [float(name[:-3].rsplit("_", 1)[1]) for name in names] == scores[1::-1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "no checkpoints: name them, or use --dir DIR with --last N or --best N"),
        (("a.pt", "--dir", ".", "--last", 1), "--dir excludes checkpoints by name"),
        (("--dir", "."), "--dir needs --last N or --best N"),
        (("--dir", "no", "--last", 1), "no: no such folder"),
        (("a.pt", "--up-to", 3), "--up-to chooses among the checkpoints of a folder"),
        (("--dir", ".", "--best", 1, "--by", "epoch"), "--by is for --last"),
        (("a.pt", "./a.pt"), "./a.pt is given twice"),
        (("a.pt", "--output", "a.pt"), "--output a.pt is to be read"),
        (("a.pt", "--output", ""), "--output is empty: name a file"),
        (("b.pt",), "b.pt: no such checkpoint"),
        (("a.pt",), "a.pt: a readable file, but no fairseq checkpoint (it holds no model)"),
    ],
)
def test_mistakes(refused, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": torch.ones(1)}, "a.pt")
    output = () if "--output" in arguments else ("--output", "out.pt")
    assert text in refused("average", *arguments, *output)
    assert os.listdir() == ["a.pt"]


def test_another_architecture(toy, ringformer, tmp_path):
    paths = [toy.run / "checkpoint_last.pt", toy.other / "checkpoint_last.pt"]
    status, _, err = ringformer("average", *paths, "--output", tmp_path / "out.pt")
    assert status == 2 and err.count("\n") == 1
    assert f"{paths[1]}: of another architecture than the checkpoints before it: " in err
    assert not list(tmp_path.iterdir())
