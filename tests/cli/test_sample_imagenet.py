import json
import os

import pytest

from fairseq_ringformer.vision.data import imagenet, open_images
from tests.vision.images import damage, write_folder, write_tar

CLASSES = [f"n{number:08}" for number in range(8)]
SMALL = ["--classes", 3, "--train", 5, "--val", 2]


@pytest.fixture
def source(tmp_path):
    """Eight classes of ten training and three validation images, the files named as ImageNet's are."""
    root = tmp_path / "imagenet"
    for split, count in (("train", 10), ("val", 3)):
        for number, name in enumerate(CLASSES):
            folder = write_folder(root / split, [name], count, size=4, extension="JPEG", seed=100 * number) / name
            for path in folder.iterdir():
                path.rename(folder / f"{name}_{split}_{path.name}")
    return root


@pytest.fixture
def tar(source, tmp_path):
    """The training images as the original archive has them."""
    inner = {}
    for name in CLASSES:
        files = {path.name: path.read_bytes() for path in sorted((source / "train" / name).iterdir())}
        inner[f"{name}.tar"] = write_tar(tmp_path / "inner.tar", files).read_bytes()
    (tmp_path / "inner.tar").unlink()
    return write_tar(tmp_path / imagenet.TRAIN_TAR, inner)


def files(folder) -> dict:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*/*")}


def drawn(folder) -> dict:
    return json.loads((folder / "images.json").read_text())


def test_draws_what_is_wanted_and_says_what(ringformer, source, tmp_path):
    out = tmp_path / "small"
    status, printed, err = ringformer("sample-imagenet", source, "--output", out, *SMALL)
    assert (status, err) == (0, "")
    assert printed == (
        "3 classes, 15 training images and 6 validation images (from the validation images of the source) "
        f"written to {out}\n"
    )
    sample = drawn(out)
    assert (sample["classes"], sample["train"], sample["val"]) == (3, 15, 6)
    assert (sample["seed"], sample["source"], sample["validation_from"]) == (1, "folder", "val")
    expected = {
        f"{split}/{name}/{file}": (source / split / name / file).read_bytes()
        for name, own in sample["images"].items()
        for split in ("train", "val")
        for file in own[split]
    }
    assert files(out) == expected and len(expected) == 21
    assert sorted(os.listdir(tmp_path)) == ["imagenet", "small"]
    train, valid = (open_images(str(out), split) for split in ("train", "validation"))
    assert train.classes == valid.classes == sorted(sample["images"]) and (len(train), len(valid)) == (15, 6)


def test_seed_decides(ringformer, source, tmp_path):
    samples = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert ringformer("sample-imagenet", source, "--output", tmp_path / name, *SMALL, "--seed", seed)[0] == 0
        samples.append(drawn(tmp_path / name)["images"])
    assert samples[0] == samples[1] != samples[2]


def test_tar_and_folder_give_the_same_training_images(ringformer, source, tar, tmp_path):
    for name, place in (("folder", source), ("tar", tar), ("beside", tar.parent)):
        output = tmp_path.parent / f"{tmp_path.name}-{name}"
        assert ringformer("sample-imagenet", place, "--output", output, *SMALL)[0] == 0
    folder, archive, beside = (tmp_path.parent / f"{tmp_path.name}-{name}" for name in ("folder", "tar", "beside"))
    assert files(archive) == files(beside)
    trained = {name: content for name, content in files(folder).items() if name.startswith("train/")}
    assert trained == {name: content for name, content in files(archive).items() if name.startswith("train/")}
    sample = drawn(archive)
    assert sample["validation_from"] == "train"
    assert all(not set(own["train"]) & set(own["val"]) for own in sample["images"].values())


@pytest.mark.parametrize("layout", ["no val", "flat val", "classes alone"])
def test_validation_images_are_held_out_where_there_are_none(ringformer, source, tmp_path, layout):
    for path in list((source / "val").glob("*/*")):
        if layout == "flat val":
            path.rename(source / "val" / path.name)
    for name in CLASSES:
        for path in (source / "val" / name).iterdir():
            path.unlink()
        (source / "val" / name).rmdir()
    if layout != "flat val":
        (source / "val").rmdir()
    place = source / "train" if layout == "classes alone" else source
    status, printed, _ = ringformer("sample-imagenet", place, "--output", tmp_path / "small", *SMALL)
    assert status == 0 and "6 validation images (from training images)" in printed
    content = files(tmp_path / "small")
    assert len(content) == 21 and len(set(content.values())) == 21


@pytest.mark.parametrize("link", ["hard", "symbolic"])
def test_links(ringformer, source, tmp_path, link, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ringformer("sample-imagenet", "imagenet", "--output", "deep/small", *SMALL, "--link", link)[0] == 0
    for name in files(tmp_path / "deep" / "small"):
        path = tmp_path / "deep" / "small" / name
        assert path.samefile(source / name) and path.is_symlink() == (link == "symbolic")


def test_a_list_draws_the_same_again(ringformer, source, tar, tmp_path):
    ringformer("sample-imagenet", source, "--output", tmp_path / "a", *SMALL, "--seed", 5)
    again = ["--list", tmp_path / "a" / "images.json"]
    assert ringformer("sample-imagenet", source, "--output", tmp_path / "b", *again)[0] == 0
    assert files(tmp_path / "a") == files(tmp_path / "b")
    # The validation images may lie in one folder: the list knows their classes.
    for path in list((source / "val").glob("*/*")):
        path.rename(source / "val" / path.name)
    assert ringformer("sample-imagenet", source, "--output", tmp_path / "c", *again)[0] == 0
    assert files(tmp_path / "a") == files(tmp_path / "c")

    held_out = tmp_path.parent / f"{tmp_path.name}-held-out"
    ringformer("sample-imagenet", tar, "--output", held_out, *SMALL)
    ringformer("sample-imagenet", source, "--output", tmp_path / "d", "--list", held_out / "images.json")
    assert files(held_out) == files(tmp_path / "d")


def test_small_classes_are_passed_over(ringformer, refused, source, tmp_path):
    order = sorted(CLASSES)
    for name in CLASSES[:5]:
        for path in sorted((source / "train" / name).iterdir())[4:]:
            path.unlink()
    status, printed, _ = ringformer("sample-imagenet", source, "--output", tmp_path / "small", *SMALL)
    assert status == 0 and sorted(drawn(tmp_path / "small")["images"]) == order[5:]
    passed = drawn(tmp_path / "small")["too_small"]
    assert passed and set(passed.values()) == {4} and set(passed) <= set(order[:5])
    assert [f"class {name} passed over: it has 4 images" for name in passed] == printed.splitlines()[:-1]
    many = ["--classes", 4, "--train", 5, "--val", 2]
    assert refused("sample-imagenet", source, "--output", tmp_path / "four", *many) == (
        "ringformer sample-imagenet: 4 classes of 5 images wanted, only 3 have as many: "
        + ", ".join(f"{name} has 4" for name in CLASSES[:5])
        + "\n"
    )
    assert not (tmp_path / "four").exists()


def test_an_interrupted_draw_leaves_nothing(ringformer, source, tmp_path, monkeypatch):
    copied = []

    def interrupted(path, to):
        copied.append(to)
        if len(copied) == 8:
            raise KeyboardInterrupt
        open(to, "w").close()

    out = tmp_path / "small"
    assert ringformer("sample-imagenet", source, "--output", out, *SMALL)[0] == 0
    before = files(out)
    monkeypatch.setattr(imagenet.shutil, "copyfile", interrupted)
    assert ringformer("sample-imagenet", source, "--output", out, *SMALL, "--seed", 2, "--force")[0] == 130
    assert files(out) == before and sorted(os.listdir(tmp_path)) == ["imagenet", "small"]
    monkeypatch.undo()
    assert ringformer("sample-imagenet", source, "--output", out, *SMALL, "--seed", 2, "--force")[0] == 0
    assert files(out) != before and len(files(out)) == 21


def test_output_is_not_overwritten_by_mistake(ringformer, refused, source, tmp_path):
    out = tmp_path / "small"
    ringformer("sample-imagenet", source, "--output", out, *SMALL)
    assert "is not empty: choose another folder, or replace it with --force" in refused(
        "sample-imagenet", source, "--output", out, *SMALL
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    error = refused("sample-imagenet", source, "--output", tmp_path / "mine", *SMALL, "--force")
    assert "has no images.json, so --force leaves it alone: delete it yourself" in error
    for inside in (source, source / "small", tmp_path):
        assert "lie in each other: choose another output" in refused(
            "sample-imagenet", source, "--output", inside, *SMALL, "--force"
        )
    (tmp_path / "file").write_text("")
    assert "file is a file: name a folder" in refused("sample-imagenet", source, "--output", tmp_path / "file", *SMALL)


def test_sources_that_are_none(refused, source, tar, tmp_path):
    out = ["--output", tmp_path.parent / f"{tmp_path.name}-out"]
    assert f"{tmp_path}/no: no such folder or tar file" in refused("sample-imagenet", tmp_path / "no", *out)
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path}/empty: no class folders" in refused("sample-imagenet", tmp_path / "empty", *out)
    assert "100 classes wanted, there are 8" in refused("sample-imagenet", source, *out)
    assert "--link links to files, and" in refused("sample-imagenet", tar, *out, *SMALL, "--link", "hard")
    flat = write_tar(tmp_path / "flat.tar", {"a.JPEG": b"x"})
    assert f"{flat}: has no tar files of classes" in refused("sample-imagenet", flat, *out)
    (tmp_path / "text.tar").write_text("no tar file, but a text that is long enough to be taken for one" * 20)
    assert "text.tar: damaged tar file (" in refused("sample-imagenet", tmp_path / "text.tar", *out)
    broken = write_tar(tmp_path / "broken.tar", {f"{name}.tar": b"x" * 600 for name in CLASSES})
    assert "is damaged (" in refused("sample-imagenet", broken, *out, *SMALL)
    damage(tar)
    assert "damaged" in refused("sample-imagenet", tar, *out, "--classes", 8, "--train", 5, "--val", 2)
    assert not out[1].exists()


def test_lists_that_do_not_fit(ringformer, refused, source, tar, tmp_path):
    ringformer("sample-imagenet", source, "--output", tmp_path / "a", *SMALL)
    path = tmp_path / "a" / "images.json"
    command = ["sample-imagenet", source, "--output", tmp_path / "b", "--list"]
    assert "--list says which images: leave --seed out" in refused(*command, path, "--seed", 1)
    assert "no.json: cannot be read (No such file or directory)" in refused(*command, tmp_path / "no.json")
    (tmp_path / "other.json").write_text("[1, 2]")
    assert "other.json: not a list that sample-imagenet has written" in refused(*command, tmp_path / "other.json")
    sample = drawn(tmp_path / "a")
    name = next(iter(sample["images"]))
    outside = tmp_path.parent / f"{tmp_path.name}-out"
    assert "has training images only" in refused("sample-imagenet", tar, "--output", outside, "--list", path)
    for file, message in (
        ("absent.JPEG", f"{source}/train/{name}/absent.JPEG: no such image"),
        ("../../secret.JPEG", "'../../secret.JPEG' is not the name of a class or an image"),
        (7, "7 is not the name of a class or an image"),
    ):
        sample["images"][name]["train"][0] = file
        (tmp_path / "changed.json").write_text(json.dumps(sample))
        assert message in refused(*command, tmp_path / "changed.json")
    sample["images"][name]["train"][0] = sample["images"][name]["train"][1]
    (tmp_path / "changed.json").write_text(json.dumps(sample))
    assert f"class {name} has an image twice in train" in refused(*command, tmp_path / "changed.json")
    sample["validation_from"] = "train"
    sample["images"][name]["train"][0] = "absent.JPEG"
    (tmp_path / "changed.json").write_text(json.dumps(sample))
    assert f"class {name} has no image absent.JPEG" in refused(
        "sample-imagenet", tar, "--output", outside, "--list", tmp_path / "changed.json"
    )
    assert not (tmp_path / "b").exists() and not outside.exists()


def test_a_full_disk_is_one_line(refused, source, tmp_path, monkeypatch):
    def full(path, to):
        raise OSError(28, "No space left on device", to)

    monkeypatch.setattr(imagenet.shutil, "copyfile", full)
    assert "No space left on device" in refused("sample-imagenet", source, "--output", tmp_path / "small", *SMALL)

    def elsewhere(path, to):
        raise OSError(18, "Invalid cross-device link", to)

    monkeypatch.setattr(os, "link", elsewhere)
    assert "use --link symbolic, or copy" in refused(
        "sample-imagenet", source, "--output", tmp_path / "small", *SMALL, "--link", "hard"
    )
    assert os.listdir(tmp_path) == ["imagenet"]


def test_folders_with_similar_names_are_left_alone(ringformer, source, tmp_path):
    source = source.rename(tmp_path / "small.old")
    (tmp_path / "small.partial").mkdir()
    for _ in range(2):
        assert ringformer("sample-imagenet", source, "--output", tmp_path / "small", "--force", *SMALL)[0] == 0
    assert sorted(os.listdir(tmp_path)) == ["small", "small.old", "small.partial"] and len(files(source)) == 104
