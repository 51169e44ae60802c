"""Which checkpoints are averaged, and what their mean is."""

import os

import pytest
import torch

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.export import averaging


def write(folder, name, higher_is_better=False, updates=1, **content):
    settings = {"best_checkpoint_metric": "loss", "maximize_best_checkpoint_metric": higher_is_better}
    state = {"cfg": {"checkpoint": settings}, "optimizer_history": [{"num_updates": updates}]}
    torch.save({**state, "model": {"w": torch.ones(1)}, **content}, folder / name)
    return str(folder / name)


def chosen(paths):
    return [os.path.basename(path) for path in paths]


def test_the_last_are_those_of_the_highest_numbers(tmp_path):
    for name in (*(f"checkpoint{end}.pt" for end in (8, 9, 10, "_last", "_best", "_1_900", "_2_1000")), "other.pt"):
        write(tmp_path, name)
    folder = str(tmp_path)
    assert chosen(averaging.last(folder, 2, "epoch")) == ["checkpoint9.pt", "checkpoint10.pt"]
    assert chosen(averaging.last(folder, 2, "epoch", up_to=9)) == ["checkpoint8.pt", "checkpoint9.pt"]
    assert chosen(averaging.last(folder, 1, "update", up_to=999)) == ["checkpoint_1_900.pt"]
    with pytest.raises(UserError, match="say --by update or --by epoch"):
        averaging.last(folder, 1)
    with pytest.raises(UserError, match="2 checkpoints by epoch up to epoch 8 wanted, there is only 1: checkpoint8.pt"):
        averaging.last(folder, 2, "epoch", up_to=8)


@pytest.mark.parametrize(("higher_is_better", "best"), [(False, ["10.1230", "9.5001"]), (True, ["10.1230", "11.0002"])])
def test_the_best_are_so_by_the_score_in_their_names(tmp_path, higher_is_better, best):
    for score in ("9.5001", "10.1230", "11.0002"):
        write(tmp_path, f"checkpoint.best_x_{score}.pt", higher_is_better)
    assert chosen(averaging.best(str(tmp_path), 2)) == [f"checkpoint.best_x_{score}.pt" for score in best]
    with pytest.raises(UserError, match="4 checkpoints kept as best .* wanted, there are only 3"):
        averaging.best(str(tmp_path), 4)
    write(tmp_path, "checkpoint.best_y_9.5001.pt")
    with pytest.raises(UserError, match="best checkpoints by x and by y: name those to average"):
        averaging.best(str(tmp_path), 1)


def test_settings_are_those_of_the_newest(tmp_path):
    """What it lacks stays absent: fairseq reads a task_state as soon as there is the key."""
    newest = write(tmp_path, "b.pt", updates=20, args=None, last_optimizer_state={})
    mean = averaging.average([newest, write(tmp_path, "a.pt", updates=10)])
    assert mean["optimizer_history"][-1]["num_updates"] == 20 and mean["averaged_from"] == ["b.pt", "a.pt"]
    assert set(mean) == {"args", "cfg", "optimizer_history", "extra_state", "model", "averaged_from"}


def test_the_mean_keeps_types_and_is_summed_in_double_precision():
    mean = averaging.Mean()
    for value in (1e8, 1.0, -1e8):
        half = torch.tensor([1.0, value / 1e8]).half()
        mean.add("x", {"w": torch.tensor([value]), "half": half, "steps": torch.tensor([7])})
    weights = mean.result()
    assert weights["w"].item() == pytest.approx(1 / 3) and weights["steps"].tolist() == [7]
    assert weights["half"].dtype == torch.half and weights["half"][0] == 1


def test_the_unrounded_ema_is_preferred():
    extra = {"ema": {"w": torch.ones(2)}, "ema_fp32_params": {"w": torch.full((2,), 3.0001, dtype=torch.float64)}}
    state = {"model": {"w": torch.zeros(2, dtype=torch.half)}, "extra_state": extra}
    assert averaging.ema_weights("x", state)["w"].tolist() == [
        3.0001,
        3.0001,
    ]  # unrounded beside a model in half precision
    with pytest.raises(UserError, match="x holds no EMA weights: train with --store-ema"):
        averaging.ema_weights("x", {**state, "extra_state": {}})


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ({"a": 1.0, "b": 1.0}, {"a": 1.0}, "it lacks b"),
        ({"a": 1.0}, {"a": 1.0, "b": 1.0}, "it has b"),
        ({"a": 1.0}, {"a": [1.0, 2.0]}, "a is (2,), not ()"),
        ({"a": 1}, {"a": 2}, "a holds whole numbers that differ"),
        ({"a": 1.0}, {"a": float("nan")}, "a is not a number (NaN) in places"),
    ],
)
def test_weights_that_cannot_be_averaged(first, second, text):
    mean = averaging.Mean()
    mean.add("first.pt", {key: torch.tensor(value) for key, value in first.items()})
    with pytest.raises(UserError) as error:
        mean.add("second.pt", {key: torch.tensor(value) for key, value in second.items()})
    assert str(error.value).startswith("second.pt: ") and text in str(error.value)
