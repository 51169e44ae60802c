"""Training on images that come in archives, one after another."""

import pytest

from fairseq_ringformer.errors import UserError
from tests.vision.data.test_streams import write_shards
from tests.vision.training.test_trainer import train_interrupted
from tests.vision.training.tiny import last, rows, same_weights, train

# 4 shards of 6 images, the last of which are evaluated on.
STREAM = dict(
    dataset="wds/",
    train_split="train-{0..2}.tar|18",
    valid_split="train-{3..3}.tar|6",
    num_classes=24,
    batch_size=4,
    in_chans=1,
    epochs=2,
    save_interval=1,
)


@pytest.fixture
def shards(tmp_path):
    (tmp_path / "data").mkdir()
    return write_shards(tmp_path / "data")


def test_a_stream_resumes_exactly(shards, tmp_path):
    train(shards, tmp_path / "whole", dropout=0.1, **STREAM)
    train_interrupted(shards, tmp_path / "parts", 6, dropout=0.1, **STREAM)
    train(shards, tmp_path / "parts", dropout=0.1, **STREAM)
    assert [row["update"] for row in rows(tmp_path / "parts")] == ["4", "8"]
    whole, parts = last(tmp_path / "whole"), last(tmp_path / "parts")
    assert same_weights(whole["state_dict"], parts["state_dict"])


def test_a_stream_cannot_be_looked_through_first(shards, tmp_path):
    with pytest.raises(UserError, match="--damaged refuse cannot look through streamed images first"):
        train(shards, tmp_path / "run", damaged="refuse", **STREAM)


def test_a_stream_that_ends_within_an_update(shards, tmp_path):
    """What is left over is dropped, as at the end of other images: 18 images said, 12 there, 2 updates of 2 x 4 wanted."""
    settings = dict(STREAM, train_split="train-{0..1}.tar|18", grad_accum=2)
    result = train(shards, tmp_path / "run", **settings)
    assert [row["update"] for row in rows(tmp_path / "run")] == ["1", "2", "3", "4"] and result["updates"] == 4


def test_a_stream_goes_on_in_the_middle_only_in_the_same_order(shards, tmp_path):
    train_interrupted(shards, tmp_path / "run", 3, **STREAM)
    for change in (dict(workers=1), dict(batch_size=2, grad_accum=2)):
        with pytest.raises(
            ValueError, match="in the middle of an epoch of a stream: batches of 4, 1 process, --workers 0 before"
        ):
            train(shards, tmp_path / "run", **{**STREAM, **change})


def test_classes_that_the_data_does_not_have(shards, tmp_path):
    with pytest.raises(UserError, match=r"train-\d.tar: class \d+, where there are 3 \(0 is the first\)"):
        train(shards, tmp_path / "run", **{**STREAM, "num_classes": 3})
