import struct
import sys
import types

import numpy as np
import pytest

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.vision.data import check_same_classes, open_images
from fairseq_ringformer.vision.data.opening import Torchvision
from tests.vision.images import damage, encoded, picture, write_folder, write_splits, write_tar


def refused(*arguments, **options) -> str:
    with pytest.raises(UserError) as error:
        open_images(*map(str, arguments), **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def write_fashion_mnist(folder, train=6, test=4):
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", train), ("t10k", test)):
        pixels = np.stack([np.asarray(picture(number, 28, "L")) for number in range(count)])
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 28, 28) + pixels.tobytes())
        labels = bytes(number % 10 for number in range(count))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels)
    return folder


@pytest.mark.parametrize("name", ["validation", "val"])
def test_validation_folder_by_any_name(tmp_path, name):
    write_folder(tmp_path / "train", count=3)
    write_folder(tmp_path / name, count=2)
    assert len(open_images(str(tmp_path), "validation")) == 4
    assert len(open_images(str(tmp_path), name)) == 4
    assert len(open_images(str(tmp_path), "train")) == 6
    assert len(open_images(str(tmp_path / name), "")) == 4


def test_tar_files_of_splits(tmp_path):
    for name, count in (("train", 3), ("val", 2)):
        write_tar(tmp_path / f"{name}.tar", {f"{cls}/{n}.png": encoded(n) for cls in "ab" for n in range(count)})
    assert len(open_images(str(tmp_path), "train")) == 6
    images = open_images(str(tmp_path), "validation")
    assert len(images) == 4 and images.classes == ["a", "b"]


def test_without_the_split_nothing_else_is_taken(tmp_path):
    write_folder(tmp_path / "train")
    assert refused(tmp_path, "validation") == (
        f"{tmp_path}: no split validation: it has no folder (or tar file) "
        "validation or valid or val or eval or evaluation or test"
    )
    assert refused(tmp_path, "extra") == f"{tmp_path}: no split extra: it has no folder (or tar file) extra"
    tar = write_tar(tmp_path / "x.tar", {"a/0.png": encoded(1)})
    assert refused(tar, "train").startswith(f"{tar}: a tar file has no splits; give the folder that has train.tar")


def test_missing_and_empty_places(tmp_path):
    assert refused(tmp_path / "no", "train") == f"{tmp_path}/no: no such folder or tar file"
    assert refused(tmp_path / "no", "train", dataset="torch/mnist") == f"{tmp_path}/no: no such folder"
    (tmp_path / "train" / "cat").mkdir(parents=True)
    assert refused(tmp_path, "train") == f"{tmp_path}/train: no images in class folders"
    tar = write_tar(tmp_path / "empty.tar", {})
    assert refused(tar, "") == f"{tar}: no images in class folders"
    whole = write_tar(tmp_path / "cut.tar", {f"a/{number}.png": encoded(number, 40) for number in range(5)})
    assert refused(damage(whole), "").startswith(f"{whole}: damaged tar file (")


def test_images_that_are_not_in_a_class_folder_of_their_own(tmp_path):
    folder = write_folder(tmp_path / "train")
    (folder / "loose.png").write_bytes(encoded(1))
    assert refused(tmp_path, "train") == f"{folder}: has images outside class folders, such as loose.png"
    write_folder(tmp_path / "val" / "n01", classes=["images"])
    write_folder(tmp_path / "val" / "n02", classes=["images"])
    error = refused(tmp_path, "val")
    assert "val/n01/images and" in error or "val/n02/images and" in error
    assert error.endswith("would be one class, images: put the images directly into the folders of their classes")
    tar = write_tar(tmp_path / "loose.tar", {"loose.png": encoded(1), "a/0.png": encoded(2)})
    assert refused(tar, "") == f"{tar}: has images outside class folders, such as loose.png"


def test_classes_of_the_model(tmp_path):
    write_splits(tmp_path, classes=("bird", "dog"))
    images = open_images(str(tmp_path), "train", classes=["dog", "cat", "bird"])
    assert images.classes == ["dog", "cat", "bird"]
    assert [images[index][1] for index in (0, 15)] == [2, 0]
    assert refused(tmp_path, "train", classes=["dog", "cat"]) == (
        f"{tmp_path}/train has classes that the model does not have: bird"
    )
    tar = write_tar(tmp_path / "x.tar", {"bird/0.png": encoded(1), "dog/0.png": encoded(2)})
    archive = open_images(str(tar), "", classes=["dog", "cat", "bird"])
    assert [archive[index][1] for index in range(2)] == [2, 0]


def test_check_same_classes():
    def classes(*names):
        return types.SimpleNamespace(classes=list(names))

    check_same_classes(classes("a", "b"), classes("a", "b"))
    with pytest.raises(UserError) as error:
        check_same_classes(classes("a", "b", "c"), classes("c", "d"))
    assert str(error.value) == (
        "training and validation images are of different classes (only in training: a, b; only in validation: d): "
        "give both the same class folders, each with at least one image"
    )
    with pytest.raises(UserError, match=r"\(only in training: 0, 1, 2, 3, 4 and 3 more\)"):
        check_same_classes(classes(*map(str, range(9))), classes("8"))
    with pytest.raises(UserError, match="the same names in another order"):
        check_same_classes(classes("a", "b"), classes("b", "a"))


@pytest.mark.parametrize("dataset", ["imagenet", "torch/", "foo/bar"])
def test_unknown_data_sets(tmp_path, dataset):
    assert refused(tmp_path, "train", dataset=dataset) == (
        f"--dataset {dataset}: no such data set; known are nothing (a folder or tar file), torch/NAME, hfds/NAME, "
        "hfids/NAME or wds/"
    )


def test_torchvision_sets(tmp_path):
    write_fashion_mnist(tmp_path)
    train = open_images(str(tmp_path), "train", dataset="torch/fashion_mnist", channels=1)
    valid = open_images(str(tmp_path), "validation", dataset="torch/fashion_mnist", channels=3)
    assert (len(train), len(valid)) == (6, 4)
    assert train.classes[0] == "T-shirt/top" and len(train.classes) == 10
    image, target, damaged = train[5]
    assert (target, damaged) == (5, -1) and np.array_equal(np.asarray(image), np.asarray(picture(5, 28, "L")))
    assert valid[0][0].mode == "RGB" and valid.name(2) == "image 2"
    check_same_classes(train, valid)


def test_classes_of_several_names_are_one_each():
    """ImageNet's, which torchvision numbers by each name; a crane is two of them."""
    names = [("tench", "Tinca tinca"), ("crane",), ("crane",)]
    numbered = {name: number for number, several in enumerate(names) for name in several}
    dataset = types.SimpleNamespace(classes=names, class_to_idx=numbered)
    assert Torchvision(dataset).classes() == ["tench, Tinca tinca", "crane", "crane"]


def test_torchvision_sets_that_cannot_be_read(tmp_path):
    name = "torch/fashion_mnist"
    assert refused(tmp_path, "train", dataset=name) == (
        f"{tmp_path}: --dataset {name} cannot be read from here (Dataset not found)"
    )
    write_fashion_mnist(tmp_path)
    assert refused(tmp_path, "extra", dataset=name).startswith(f"--dataset {name} has no split extra: choose one of ")
    damage(tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte")
    assert refused(tmp_path, "train", dataset=name).startswith(f"{tmp_path}: --dataset {name} cannot be read from here")
    assert refused(tmp_path, "train", dataset="torch/nothing") == (
        "--dataset torch/nothing: unknown torchvision dataset nothing"
    )
    assert refused(tmp_path, "train", channels=4) == ("images of 4 channels: only 1 (grey) and 3 (colour) can be read")


@pytest.mark.parametrize("dataset, package", [("hfids/some/name", "datasets"), ("wds/", "webdataset")])
def test_packages_that_are_not_there(tmp_path, dataset, package, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refused(tmp_path, "train", dataset=dataset) == (
        f"--dataset {dataset} needs the package {package}: run 'pip install {package}'"
    )


def test_hugging_face_sets(tmp_path, monkeypatch):
    """With a stand-in for the library: rows of encoded images, one of them damaged."""
    rows = [{"image": {"bytes": encoded(number), "path": None}, "label": number % 2} for number in range(4)]
    rows[2]["image"]["bytes"] = rows[2]["image"]["bytes"][:40]

    class Dataset(list):
        info = types.SimpleNamespace(splits=None, features={"label": types.SimpleNamespace(names=["cat", "dog"])})

        def cast_column(self, *_):
            return self

    def load_dataset(name, split, cache_dir):
        if split != "train":
            raise ValueError(f'Unknown split "{split}".\nShould be one of train.')
        assert (name, cache_dir) == ("some/name", str(tmp_path))
        return Dataset(rows)

    library = types.ModuleType("datasets")
    library.load_dataset, library.Image = load_dataset, lambda decode: None
    library.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "datasets", library)
    monkeypatch.delitem(sys.modules, "timm.data.readers.reader_hfds", raising=False)
    images = open_images(str(tmp_path), "train", dataset="hfds/some/name")
    assert images.classes == ["cat", "dog"] and [images[index][1:] for index in range(4)] == [
        (0, -1),
        (1, -1),
        (-1, 2),
        (1, -1),
    ]
    assert np.array_equal(np.asarray(images[3][0]), np.asarray(picture(3))) and images.name(3) == "image 3"
    assert refused(tmp_path, "test", dataset="hfds/some/name") == (
        '--dataset hfds/some/name, split test: Unknown split "test". Should be one of train.'
    )
    assert refused(tmp_path, "train", dataset="hfds/some/name", classes=["dog", "cat"]) == (
        "--dataset hfds/some/name: its classes are cat, dog, not dog, cat"
    )
