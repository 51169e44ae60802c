import json

import numpy as np
import pytest
import torch
from accelerate.data_loader import IterableDatasetShard
from PIL import Image
from torch.utils.data import DataLoader

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.vision.data import (
    Augmentation,
    InputConfig,
    StreamedImages,
    UnreadableData,
    eval_transform,
    open_images,
    train_transform,
)
from fairseq_ringformer.vision.data.streams import HuggingFaceStream
from tests.vision.images import encoded, picture, write_tar

CONFIG = InputConfig((3, 8, 8), (0.5,) * 3, (0.5,) * 3, "bilinear", 1.0)
SPLIT = "train-{0..3}.tar|24"


def write_shards(folder, shards=4, count=6, label=None, broken=()):
    """Shards of `count` images each; image n is of class n, so that targets tell images apart."""
    for shard in range(shards):
        files = {}
        for number in range(shard * count, (shard + 1) * count):
            files[f"{number:03}.png"] = encoded(number)[:40] if number in broken else encoded(number)
            if label:
                files[f"{number:03}.json"] = json.dumps({label: number}).encode()
            else:
                files[f"{number:03}.cls"] = str(number).encode()
        write_tar(folder / f"train-{shard}.tar", files)
    return folder


def opened(folder, split=SPLIT, **options):
    options = {"classes": [str(number) for number in range(24)], **options}
    return open_images(str(folder), split, dataset="wds/", **options)


def targets(images) -> list:
    return [target for _, target, _ in images]


def refused(*arguments, **options) -> str:
    with pytest.raises(UserError) as error:
        opened(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_evaluation_reads_the_shards_in_order(tmp_path):
    images = opened(write_shards(tmp_path), transform=eval_transform(CONFIG))
    assert isinstance(images, StreamedImages) and len(images) == 24 and len(images.classes) == 24
    for number, (image, target, damaged) in enumerate(images):
        assert image.equal(eval_transform(CONFIG)(picture(number))) and (target, damaged) == (number, -1)


def test_training_order_depends_on_seed_and_epoch_alone(tmp_path):
    images = opened(write_shards(tmp_path), training=True, seed=1)
    first = targets(images)
    assert sorted(first) == list(range(24)) and first != list(range(24))
    torch.rand(3)
    assert targets(images) == first == targets(opened(tmp_path, training=True, seed=1))
    assert targets(opened(tmp_path, training=True, seed=2)) != first
    images.set_epoch(1)
    second = targets(images)
    assert sorted(second) == list(range(24)) and second != first


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_divide_the_images_and_see_the_epoch(tmp_path, workers):
    transform = train_transform(CONFIG, Augmentation())
    images = opened(write_shards(tmp_path), transform=transform, training=True, seed=1)
    loader = DataLoader(images, num_workers=workers, persistent_workers=workers > 0)
    epochs = []
    for epoch in (0, 1, 0):
        images.set_epoch(epoch)
        epochs.append([(image.numpy().tobytes(), target.item()) for image, target, _ in loader])
        assert sorted(target for _, target in epochs[-1]) == list(range(24))
    assert epochs[0] == epochs[2] != epochs[1]


@pytest.mark.parametrize(("workers", "training"), [(0, False), (2, True)])
def test_two_processes_share_the_images(tmp_path, monkeypatch, workers, training):
    """As accelerate shares them. Each process draws other seeds for its workers, and knows that it is one of two."""
    write_shards(tmp_path)
    seen = []
    for process in (0, 1):
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda *_: 2)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda *_, process=process: process)
        torch.manual_seed(process)
        images = opened(tmp_path, transform=eval_transform(CONFIG), training=training)
        share = IterableDatasetShard(images, batch_size=3, drop_last=training, num_processes=2, process_index=process)
        monkeypatch.undo()
        loader = DataLoader(share, batch_size=3, num_workers=workers)
        seen.append([target.item() for _, own, _ in loader for target in own])
    assert len(seen[0]) == len(seen[1]) == 12 and sorted(seen[0] + seen[1]) == list(range(24))


def test_damaged_images_are_counted_and_left_out(tmp_path):
    broken = {0, 7, 8, 23}
    write_shards(tmp_path, broken=broken)
    evaluated = opened(tmp_path, transform=eval_transform(CONFIG))
    assert targets(evaluated) == [-1 if number in broken else number for number in range(24)]
    assert [damaged for _, _, damaged in evaluated if damaged >= 0] == sorted(broken)
    trained = list(opened(tmp_path, training=True))
    assert len(trained) == 24 and sum(damaged >= 0 for _, _, damaged in trained) == 4
    assert sorted(target for _, target, damaged in trained if damaged < 0) == sorted(set(range(24)) - broken)


@pytest.mark.parametrize(
    "error, expected",
    [
        (
            RuntimeError("1 shard, 2 workers\nmore"),
            "the stream cannot be read by 2 workers (1 shard, 2 workers more): lower --workers",
        ),
        (
            OSError("cannot identify image"),
            "the library datasets cannot read image 1 of the stream (cannot identify image): ",
        ),
    ],
)
def test_what_hugging_faces_library_cannot_read_is_said_in_a_line(error, expected):
    class Reader:
        def set_epoch(self, epoch):
            pass

        def __iter__(self):
            yield Image.new("RGB", (8, 8)), 0
            raise error

    with pytest.raises(UnreadableData) as found:
        list(HuggingFaceStream(Reader())(1, 0, 0, 2))
    assert str(found.value).startswith(expected) and "\n" not in str(found.value)


def test_too_many_damaged_images(tmp_path):
    write_shards(tmp_path, shards=1, count=110, broken=range(5, 110))
    with pytest.raises(UnreadableData) as error:
        list(opened(tmp_path, "train-0.tar|110", classes=[str(number) for number in range(110)]))
    first = f"100 damaged images in a row, the first is 005 of {tmp_path}/train-0.tar ("
    assert str(error.value).startswith(first)
    write_shards(tmp_path, shards=1, count=3, broken=range(3))
    with pytest.raises(UnreadableData, match="3 damaged images in a row, the first is 000 of"):
        list(opened(tmp_path, "train-0.tar|3"))


def test_a_shard_that_is_cut_off_between_files(tmp_path):
    path = write_shards(tmp_path) / "train-2.tar"
    path.write_bytes(path.read_bytes()[:2048])
    assert refused(tmp_path) == f"{path}: cut off, it does not end as a tar file does: copy it again"


def test_a_shard_that_is_damaged(tmp_path):
    path = write_shards(tmp_path) / "train-2.tar"
    content = bytearray(path.read_bytes())
    content[:512] = b"x" * 512
    path.write_bytes(content)
    with pytest.raises(UnreadableData) as error:
        list(DataLoader(opened(tmp_path), num_workers=1, collate_fn=list))
    assert str(error.value).startswith(f"{path}: damaged (") and "\n" not in str(error.value)


def test_info_file_names_splits_classes_and_labels(tmp_path):
    write_shards(tmp_path, label="kind")
    names = [f"train-{shard}.tar" for shard in range(4)]
    split = dict(name="train", num_samples=24, filenames=names, shard_lengths=[6] * 4, alt_label="kind")
    (tmp_path / "_info.json").write_text(json.dumps({"splits": {"train": split}, "num_classes": 24}))
    images = opened(tmp_path, "train", classes=None, training=True)
    assert images.classes == [str(number) for number in range(24)] and len(images) == 24
    assert sorted(targets(images)) == list(range(24))
    assert refused(tmp_path, "validation").startswith(f"{tmp_path}: no split validation in _info.json (there: train); ")


def test_what_is_missing_is_told(tmp_path):
    write_shards(tmp_path)
    assert refused(tmp_path, "train") == (
        f"{tmp_path}: no split train in _info.json (there: none); name it, or the shards and their number of images: "
        "'train-{0000..0015}.tar|100000'"
    )
    assert refused(tmp_path, "train-{3..5}.tar|9") == f"{tmp_path}/train-4.tar: no such shard"
    assert refused(tmp_path, "train-{0..3}.tar", training=True) == (
        f"{tmp_path}: the number of training images is unknown: add it to the shards, 'train-{{0..3}}.tar|100000'"
    )
    assert refused(tmp_path, classes=None) == (
        f"{tmp_path}: how many classes there are is unknown: give --num-classes or classes in _info.json"
    )
    with pytest.raises(TypeError):
        len(opened(tmp_path, "train-{0..3}.tar"))
    write_tar(tmp_path / "train-0.tar", {"0.png": encoded(1), "0.cls": b"cat"})
    with pytest.raises(UnreadableData, match="0 of .*train-0.tar: its cls file holds no number of a class"):
        list(opened(tmp_path))
    write_tar(tmp_path / "train-0.tar", {"0.txt": b"", "0.cls": b"1"})
    with pytest.raises(UnreadableData, match="has no image, but txt, cls"):
        list(opened(tmp_path))


def test_a_split_without_a_name_of_its_own_and_parts_of_it(tmp_path):
    write_shards(tmp_path, label="kind")
    names = [f"train-{shard}.tar" for shard in range(4)]
    split = dict(filenames=names, shard_lengths=[6] * 4, alt_label="kind")
    (tmp_path / "_info.json").write_text(json.dumps({"splits": {"train": split}}))
    assert targets(opened(tmp_path, "train")) == list(range(24)) and len(opened(tmp_path, "train")) == 24
    part = opened(tmp_path, "train-{1..2}.tar")
    assert targets(part) == list(range(6, 18)) and len(part) == 12
    (tmp_path / "_info.json").write_text(json.dumps({"splits": {"train": dict(shard_lengths=[6])}}))
    assert refused(tmp_path, "train") == (
        f"{tmp_path}: split train in _info.json: no filenames, or no numbers of images"
    )
    (tmp_path / "_info.json").write_text("{")
    assert refused(tmp_path, "train").startswith(f"{tmp_path}/_info.json: cannot be read (Expecting")


def test_a_folder_with_a_protocol_s_name_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("pipe:touch harm", "http:", "a:b"):
        (tmp_path / name).mkdir()
        write_shards(tmp_path / name, shards=1)
        assert targets(opened(name, "train-0.tar|6")) == list(range(6))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a:b", "http:", "pipe:touch harm"]


def test_images_of_any_ending_but_no_hidden_ones(tmp_path):
    files = {"._0.jpg": b"hidden", "a/._0.jpg": b"hidden", ".x/0.png": b"hidden"}
    files |= {
        "0.tiff": encoded(0, format="TIFF"),
        "0.cls": b"0",
        "1.front.BMP": encoded(1, format="BMP"),
        "1.cls": b"1",
    }
    write_tar(tmp_path / "train-0.tar", files)
    found = list(opened(tmp_path, "train-0.tar|2"))
    assert [np.array_equal(np.asarray(image), np.asarray(picture(n))) for n, (image, _, _) in enumerate(found)] == [
        True
    ] * 2


def test_hugging_face_streams_are_read_whole_by_every_process():
    class Reader(list):
        dist_rank, dist_num_replicas, global_num_workers, epoch = 1, 2, 2, None

        def set_epoch(self, epoch):
            self.epoch = epoch

    reader = Reader((picture(number), number) for number in range(5))
    images = StreamedImages(HuggingFaceStream(reader), list("abcde"), 5, eval_transform(CONFIG))
    images.set_epoch(3)
    assert targets(images) == list(range(5)) and reader.epoch == 3
    assert (reader.dist_rank, reader.dist_num_replicas, reader.global_num_workers) == (0, 1, 1)


@pytest.mark.parametrize(
    "told, classes, num_classes, names",
    [
        (dict(classes=["cat", "dog"]), None, 3, ["cat", "dog"]),
        (dict(num_classes=2), ["cat", "dog"], None, ["cat", "dog"]),
        (dict(num_classes=2), None, 3, ["0", "1"]),
        ({}, None, 3, ["0", "1", "2"]),
        (dict(classes=["horse", "zebra"]), ["cat", "dog"], None, ": its classes are horse, zebra, not cat, dog"),
        (dict(num_classes=3), ["cat", "dog"], None, ": it has 3 classes, not 2"),
    ],
)
def test_the_data_knows_best_what_its_classes_are(tmp_path, told, classes, num_classes, names):
    (write_shards(tmp_path) / "_info.json").write_text(json.dumps({"splits": {}, **told}))
    if isinstance(names, str):
        assert refused(tmp_path, classes=classes) == f"{tmp_path}{names}"
    else:
        assert opened(tmp_path, classes=classes, num_classes=num_classes).classes == names
