"""examples/imagenet_small/prepare.py, on a tiny ImageNet."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_ringformer.vision.data import open_images
from tests.vision.images import damage, write_folder, write_tar

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "imagenet_small" / "prepare.py"
CLASSES = [f"n{number:08}" for number in range(8)]
SMALL = ["--classes", 3, "--train", 5, "--val", 2]


def load():
    # Other examples have a prepare.py as well.
    specification = importlib.util.spec_from_file_location("prepare_imagenet_small", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


prepare = load()


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
    """The training images as the original archive has them, in a folder of its own."""
    folder = tmp_path / "tar"
    folder.mkdir()
    inner = {}
    for name in CLASSES:
        content = {path.name: path.read_bytes() for path in sorted((source / "train" / name).iterdir())}
        inner[f"{name}.tar"] = write_tar(tmp_path / "inner.tar", content).read_bytes()
    (tmp_path / "inner.tar").unlink()
    return write_tar(folder / prepare.TRAIN_TAR, inner)


@pytest.fixture
def draw(tmp_path, capsys):
    """Run the script into tmp_path/NAME; that folder. What it prints is in `draw.printed`."""

    def run(source, name, *flags):
        status = prepare.main([str(word) for word in (source, "--output", tmp_path / name, *flags)])
        captured = capsys.readouterr()
        run.printed = captured.out
        assert (status, captured.err) == (0, "")
        return tmp_path / name

    return run


@pytest.fixture
def refused(tmp_path, capsys):
    """Run the script, which must write nothing and say in one line why; that line."""

    def run(source, *flags, output=tmp_path / "refused"):
        before = sorted(tmp_path.rglob("*"))
        assert prepare.main([str(word) for word in (source, "--output", output, *flags)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("prepare.py: ") and err.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before
        return err

    return run


def files(folder) -> dict:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*/*")}


def drawn(folder) -> dict:
    return json.loads((folder / "images.json").read_text())


def test_draws_what_is_wanted_and_says_what(source, tmp_path):
    """As a user runs it."""
    command = [sys.executable, SCRIPT, "imagenet", "--output", "new/small", *map(str, SMALL)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "3 classes, 15 training images and 6 validation images (from the validation images of the source) "
        "written to new/small\n"
    )
    out = tmp_path / "new" / "small"
    sample = drawn(out)
    assert (sample["classes"], sample["train"], sample["val"]) == (3, 15, 6)
    assert (sample["seed"], sample["source"], sample["validation_from"]) == (1, "folder", "val")
    expected = {
        f"{split}/{name}/{file}": (source / split / name / file).read_bytes()
        for name, images in sample["images"].items()
        for split in ("train", "val")
        for file in images[split]
    }
    assert files(out) == expected and len(expected) == 21 and os.listdir(tmp_path / "new") == ["small"]
    train, valid = (open_images(str(out), split) for split in ("train", "validation"))
    assert train.classes == valid.classes == sorted(sample["images"]) and (len(train), len(valid)) == (15, 6)


def test_the_seed_decides(source, draw):
    samples = [
        drawn(draw(source, name, *SMALL, "--seed", seed))["images"] for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert samples[0] == samples[1] != samples[2]


def test_tar_and_folder_give_the_same_training_images(source, tar, draw):
    folder, archive, beside = draw(source, "a", *SMALL), draw(tar, "b", *SMALL), draw(tar.parent, "c", *SMALL)
    assert files(archive) == files(beside)
    trained = [{name: content for name, content in files(out).items() if "train/" in name} for out in (folder, archive)]
    assert trained[0] == trained[1]
    sample = drawn(archive)
    assert sample["validation_from"] == "train"
    assert all(not set(images["train"]) & set(images["val"]) for images in sample["images"].values())


@pytest.mark.parametrize("layout", ["no val", "flat val", "classes alone"])
def test_validation_images_are_held_out_where_there_are_none(source, draw, layout):
    for path in list((source / "val").glob("*/*")):
        path.rename(source / "val" / path.name) if layout == "flat val" else path.unlink()
    for name in CLASSES:
        (source / "val" / name).rmdir()
    if layout != "flat val":
        (source / "val").rmdir()
    content = files(draw(source / "train" if layout == "classes alone" else source, "small", *SMALL))
    assert "6 validation images (from training images)" in draw.printed
    assert len(content) == 21 and len(set(content.values())) == 21


@pytest.mark.parametrize("link", ["hard", "symbolic"])
def test_links(source, draw, link):
    out = draw(source, "small", *SMALL, "--link", link)
    for name in files(out):
        assert (out / name).samefile(source / name) and (out / name).is_symlink() == (link == "symbolic")


def test_a_list_draws_the_same_again(source, tar, draw):
    first = draw(source, "a", *SMALL, "--seed", 5)
    assert files(draw(source, "b", "--list", first / "images.json")) == files(first)
    # The validation images may lie in one folder: the list knows their classes.
    for path in list((source / "val").glob("*/*")):
        path.rename(source / "val" / path.name)
    assert files(draw(source, "c", "--list", first / "images.json")) == files(first)
    held_out = draw(tar, "d", *SMALL)
    assert files(draw(source, "e", "--list", held_out / "images.json")) == files(held_out)


def test_small_classes_are_passed_over(source, draw, refused):
    for name in CLASSES[:5]:
        for path in sorted((source / "train" / name).iterdir())[4:]:
            path.unlink()
    sample = drawn(draw(source, "small", *SMALL))
    assert sorted(sample["images"]) == CLASSES[5:]
    passed = sample["too_small"]
    assert passed and set(passed.values()) == {4} and set(passed) <= set(CLASSES[:5])
    assert [f"class {name} passed over: it has 4 images" for name in passed] == draw.printed.splitlines()[:-1]
    error = refused(source, "--classes", 4, "--train", 5, "--val", 2)
    assert "4 classes of 5 images wanted, only 3 have as many: n00000000 has 4, " in error


def test_an_interrupted_draw_leaves_the_earlier_one(source, draw, tmp_path, monkeypatch, capsys):
    out = draw(source, "small", *SMALL)
    before, there = files(out), sorted(os.listdir(tmp_path))
    copied = []

    def interrupted(path, to):
        copied.append(to)
        if len(copied) == 8:
            raise KeyboardInterrupt
        open(to, "w").close()

    monkeypatch.setattr(prepare.shutil, "copyfile", interrupted)
    arguments = [source, "--output", out, *SMALL, "--seed", 2, "--force"]
    assert prepare.main([str(word) for word in arguments]) == 130
    assert files(out) == before and sorted(os.listdir(tmp_path)) == there
    monkeypatch.undo()
    capsys.readouterr()
    assert files(draw(source, "small", *SMALL, "--seed", 2, "--force")) != before


def test_output_is_not_overwritten_by_mistake(source, draw, refused, tmp_path):
    out = draw(source, "small", *SMALL)
    assert "--force" in refused(source, *SMALL, output=out)
    (out / "runs").mkdir()  # somebody's, which would be lost
    assert "holds something else" in refused(source, *SMALL, "--force", output=out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    assert "holds something else" in refused(source, *SMALL, "--force", output=tmp_path / "mine")
    for inside in (source, source / "small", tmp_path):
        assert "lie in each other: choose another output" in refused(source, *SMALL, "--force", output=inside)


def test_sources_that_are_none(source, tar, refused, tmp_path, monkeypatch):
    assert "/no: no such folder or tar file" in refused(tmp_path / "no")
    (tmp_path / "empty").mkdir()
    assert "/empty: no class folders" in refused(tmp_path / "empty")
    assert "100 classes wanted, there are 8" in refused(source)
    assert "--link links to files, and" in refused(tar, *SMALL, "--link", "hard")
    assert "has no tar files of classes" in refused(write_tar(tmp_path / "flat.tar", {"a.JPEG": b"x"}))
    broken = write_tar(tmp_path / "broken.tar", {f"{name}.tar": b"x" * 600 for name in CLASSES})
    assert ".tar in it: damaged tar file" in refused(broken, "--classes", 8, "--train", 5, "--val", 2)
    assert "damaged" in refused(damage(tar), "--classes", 8, "--train", 5, "--val", 2)

    def elsewhere(path, to):
        raise OSError(18, "Invalid cross-device link", to)

    monkeypatch.setattr(os, "link", elsewhere)
    assert "use --link symbolic" in refused(source, *SMALL, "--link", "hard")


def test_lists_that_do_not_fit(source, tar, draw, refused, tmp_path):
    path = draw(source, "a", *SMALL) / "images.json"
    assert "--list says which images: leave --seed out" in refused(source, "--list", path, "--seed", 1)
    assert "no.json: No such file or directory" in refused(source, "--list", tmp_path / "no.json")
    assert "has training images only" in refused(tar, "--list", path)
    changed = tmp_path / "changed.json"
    changed.write_text("[1, 2]")
    assert "changed.json: not a list that prepare.py has written" in refused(source, "--list", changed)
    sample = json.loads(path.read_text())
    name, images = next(iter(sample["images"].items()))
    for file, message in (
        ("absent.JPEG", f"{source}/train/{name}/absent.JPEG: no such image"),
        ("../../secret.JPEG", "'../../secret.JPEG' is not the name of a class or an image"),
        (7, "7 is not the name of a class or an image"),
        (images["train"][1], f"class {name} has an image twice in train"),
    ):
        images["train"][0] = file
        changed.write_text(json.dumps(sample))
        assert message in refused(source, "--list", changed)
    images["train"][0] = "absent.JPEG"
    changed.write_text(json.dumps({**sample, "validation_from": "train"}))
    assert f"class {name} has no image absent.JPEG" in refused(tar, "--list", changed)
