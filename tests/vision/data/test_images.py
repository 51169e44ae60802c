import io
import random
import struct

import numpy as np
import pytest
import torch
from PIL import Image, features
from torch.utils.data import DataLoader

from fairseq_ringformer.vision.data import (
    Augmentation,
    Images,
    InputConfig,
    UnreadableData,
    check_images,
    eval_transform,
    open_images,
    train_transform,
)
from tests.vision.images import damage, encoded, picture, write_folder, write_splits, write_tar

CONFIG = InputConfig((3, 8, 8), (0.5,) * 3, (0.5,) * 3, "bilinear", 1.0)
RANDOM = train_transform(CONFIG, Augmentation(auto_augment="rand-m9-mstd0.5-inc1", random_erasing=0.5))


@pytest.fixture
def data(tmp_path):
    return write_splits(tmp_path / "data")


def pixels(image) -> np.ndarray:
    return np.asarray(image)


def test_images_targets_and_names_are_the_folders(data):
    images = open_images(str(data), "train")
    assert isinstance(images, Images) and len(images) == 16 and images.classes == ["cat", "dog"]
    for index in range(16):
        image, target, damaged = images[index]
        assert (target, damaged) == (index // 8, -1)
        assert images.name(index) == f"{data}/train/{images.classes[target]}/{index % 8}.png"
        assert np.array_equal(pixels(image), pixels(picture(1000 * target + index % 8)))
    with pytest.raises(IndexError):
        images[16]


def test_damaged_images_are_left_out_of_evaluation_and_replaced_in_training(tmp_path):
    write_folder(tmp_path / "train", extension="jpg")
    damage(tmp_path / "train" / "cat" / "3.jpg")
    (tmp_path / "train" / "dog" / "0.jpg").write_bytes(b"")
    (tmp_path / "train" / "dog" / "3.jpg").write_bytes(b"no image at all")
    evaluated = open_images(str(tmp_path), "train", transform=eval_transform(CONFIG))
    black = eval_transform(CONFIG)(Image.new("RGB", (8, 8)))
    assert [evaluated[index][1] for index in range(8)] == [0, 0, 0, -1, -1, 1, 1, -1]
    assert [evaluated[index][2] for index in range(8)] == [-1, -1, -1, 3, 4, -1, -1, 7]
    assert all(evaluated[index][0].equal(black) for index in (3, 4, 7))
    trained = open_images(str(tmp_path), "train", transform=eval_transform(CONFIG), training=True)
    assert [trained[index][1] for index in range(8)] == [0, 0, 0, 1, 1, 1, 1, 0]
    assert [trained[index][2] for index in range(8)] == [-1, -1, -1, 3, 4, -1, -1, 7]
    for index, other in ((3, 5), (4, 5), (7, 0)):
        assert trained[index][0].equal(evaluated[other][0])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_cut_and_many_changes_of_a_file_are_found_or_harmless(tmp_path):
    """Whatever PIL raises counts as damage: nothing else may come out of reading a broken file."""
    write_folder(tmp_path / "train", classes=["a"], count=2)
    images = open_images(str(tmp_path), "train")
    path = tmp_path / "train" / "a" / "0.png"
    generator = random.Random(1)
    # A file's name does not say its format: these decoders are all used on .png and .jpg files.
    formats = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "DDS"]
    for format in formats + ["AVIF"] * features.check("avif"):
        whole = encoded(1, format=format)
        for _ in range(60):
            path.write_bytes(whole[: generator.randrange(len(whole))])
            images[0]
            changed = bytearray(whole)
            for _ in range(4):
                changed[generator.randrange(len(whole))] = generator.randrange(256)
            path.write_bytes(bytes(changed))
            images[0]
    path.write_bytes(encoded(1)[:-30])
    assert images[0][1:] == (-1, 0)


def test_a_huge_image_is_damaged_not_decoded(tmp_path):
    write_folder(tmp_path / "train", classes=["a"], count=2)
    stream = io.BytesIO()
    Image.new("1", (1, 1)).save(stream, "PNG")
    content = bytearray(stream.getvalue())
    content[16:24] = struct.pack(">II", 60000, 60000)
    content[29:33] = struct.pack(">I", __import__("zlib").crc32(bytes(content[12:29])))
    (tmp_path / "train" / "a" / "0.png").write_bytes(bytes(content))
    assert open_images(str(tmp_path), "train")[0][1:] == (-1, 0)


def test_too_many_open_files_is_no_damage(data, monkeypatch):
    images = open_images(str(data), "train")

    def exhausted(*_, **options):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Image, "open", exhausted)
    with pytest.raises(OSError, match="Too many open files"):
        images[0]


def test_many_damaged_in_a_row_name_the_first(tmp_path):
    folder = write_folder(tmp_path / "train", classes=["a"], count=120) / "a"
    for number in range(10, 115):
        (folder / f"{number}.png").write_bytes(b"x")
    message = f"100 damaged images in a row, the first is {folder}/10.png (in no format of images)"
    for training in (False, True):
        images = open_images(str(tmp_path), "train", training=training)
        with pytest.raises(UnreadableData) as error:
            for index in range(5, 120):
                images[index]
        assert str(error.value).startswith(message)
    loader = DataLoader(images, num_workers=1, collate_fn=list)
    with pytest.raises(UnreadableData) as error:
        list(loader)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_one_damaged_image_seen_in_many_epochs_is_not_many(tmp_path):
    write_folder(tmp_path / "train", classes=["a"], count=3)
    damage(tmp_path / "train" / "a" / "1.png")
    images = open_images(str(tmp_path), "train")
    assert {images[1][1:] for _ in range(200)} == {(-1, 1)}
    for name in ("0", "2"):
        damage(tmp_path / "train" / "a" / f"{name}.png")
    with pytest.raises(UnreadableData, match="3 damaged images in a row"):
        images[0], images[2]


def test_random_choices_depend_on_seed_epoch_and_index_alone(data):
    images = open_images(str(data), "train", transform=RANDOM, seed=3, training=True)
    first = [images[index][0] for index in range(16)]
    torch.rand(5), random.random(), np.random.random()
    again = open_images(str(data), "train", transform=RANDOM, seed=3, training=True)
    assert all(again[index][0].equal(first[index]) for index in reversed(range(16)))
    images.set_epoch(1)
    assert not images[0][0].equal(first[0])
    images.set_epoch(0)
    assert images[0][0].equal(first[0])
    other = open_images(str(data), "train", transform=RANDOM, seed=4, training=True)
    assert not other[0][0].equal(first[0])


def test_workers_that_stay_see_the_epoch(data):
    images = open_images(str(data), "train", transform=RANDOM, training=True)
    loader = DataLoader(images, batch_size=4, num_workers=2, persistent_workers=True)
    for epoch in (0, 1, 0):
        images.set_epoch(epoch)
        loaded = torch.cat([batch for batch, _, _ in loader])
        assert loaded.equal(torch.stack([images[index][0] for index in range(16)]))


@pytest.mark.parametrize("nested", [False, True])
def test_tar_files_are_as_folders_also_for_workers_that_inherit_them(data, nested):
    tar = data / "train.tar"
    files = {str(path.relative_to(data / "train")): path.read_bytes() for path in sorted(data.glob("train/*/*"))}
    if nested:
        for name in ("cat", "dog"):
            inner = {path.replace("/", "_"): content for path, content in files.items() if path.startswith(name)}
            files[f"{name}.tar"] = write_tar(data / "inner.tar", inner).read_bytes()
        files = {name: content for name, content in files.items() if name.endswith(".tar")}
    write_tar(tar, files)
    folder = open_images(str(data), "train", transform=eval_transform(CONFIG))
    archive = open_images(str(tar), "", transform=eval_transform(CONFIG))
    assert archive.classes == folder.classes and len(archive) == 16
    assert archive.name(9) == f"{tar}/{'dog.tar/dog_1' if nested else 'dog/1'}.png"
    expected = torch.stack([folder[index][0] for index in range(16)])
    assert torch.stack([archive[index][0] for index in range(16)]).equal(expected)
    for _ in range(3):
        loader = DataLoader(archive, batch_size=1, num_workers=2)
        images, targets, damaged = zip(*loader)
        assert torch.cat(images).equal(expected) and torch.cat(damaged).tolist() == [-1] * 16
        assert torch.cat(targets).tolist() == [0] * 8 + [1] * 8


def test_check_images_names_the_damaged_in_order(data, capfd):
    images = open_images(str(data), "train", transform=RANDOM, training=True)
    assert check_images(images, workers=2) == []
    assert "checking images" in capfd.readouterr().err
    names = [damage(data / "train" / "cat" / "2.png"), damage(data / "train" / "dog" / "7.png")]
    assert check_images(images, workers=0, progress=False) == list(map(str, names))
    assert capfd.readouterr().err == ""
