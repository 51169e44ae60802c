"""What every command does with an output that is no plain file, or does not fit on the disk."""

import contextlib
import os
import stat
import subprocess
import threading
from types import SimpleNamespace

import pytest

from tests.cli.classifiers import classifier, write_images
from tests.vision.images import write_folder

# The arguments that make a command write to `out`. Text and JSON can be streams.
STREAMS = {
    "translate": lambda it, out: ("translate", "--model", it.exported, "--input", it.text, "--output", out),
    "wordpiece": lambda it, out: ("wordpiece", "--model", it.vocabulary, "--encode", it.text, "--output", out),
    "dictionary": lambda it, out: ("wordpiece", "--model", it.vocabulary, "--dictionary", out),
    "evaluate": lambda it, out: ("evaluate", "--path", it.classifier, "--data", it.images, "--json", out, *CPU),
}
FILES = {
    "average": lambda it, out: ("average", "--dir", it.run, "--last", 2, "--by", "epoch", "--output", out),
    "fold": lambda it, out: ("fold", "--path", it.checkpoint, "--output", out),
    "fold a classifier": lambda it, out: ("fold", "--path", it.classifier, "--output", out),
    "onnx": lambda it, out: ("export", "--to", "onnx", "--path", it.classifier, "--output", out, "--force"),
}
FOLDERS = {
    "ctranslate2": lambda it, out: (
        *("export", "--to", "ctranslate2", "--path", it.checkpoint, "--data", it.data, "--output", out, "--force"),
    )
}
CPU = ("--device", "cpu", "--workers", 0)


@pytest.fixture(scope="module")
def it(toy, exported, tmp_path_factory):
    """What the commands read."""
    root = tmp_path_factory.mktemp("inputs")
    (root / "text").write_text("eins zwei.\n")
    (root / "vocab.txt").write_text(
        "".join(f"{symbol}\n" for symbol in ("[UNK]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz."))
    )
    return SimpleNamespace(
        run=toy.run,
        checkpoint=toy.run / "checkpoint_last.pt",
        data=toy.data,
        exported=exported,
        text=root / "text",
        vocabulary=root / "vocab.txt",
        classifier=classifier(root / "ring" / "best.pt"),
        images=write_images(root / "images", count=1),
    )


def in_one_line(result, command) -> str:
    status, _, err = result
    assert status != 0 and err.startswith(f"ringformer {command[0]}: ") and err.count("\n") == 1
    return err


@pytest.mark.parametrize("name", STREAMS)
def test_text_flows_into_a_pipe(name, it, ringformer, tmp_path):
    assert ringformer(*STREAMS[name](it, tmp_path / "file"))[0] == 0
    os.mkfifo(tmp_path / "pipe")
    seen = []
    reader = threading.Thread(target=lambda: seen.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    status = ringformer(*STREAMS[name](it, tmp_path / "pipe"))[0]
    reader.join()
    assert status == 0 and seen == [(tmp_path / "file").read_bytes()] and seen[0]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode) and sorted(os.listdir(tmp_path)) == ["file", "pipe"]


@pytest.mark.parametrize("name", STREAMS)
def test_a_full_device_is_said(name, it, ringformer, tmp_path):
    (tmp_path / "link").symlink_to("/dev/full")
    command = STREAMS[name](it, tmp_path / "link")
    assert "No space left on device" in in_one_line(ringformer(*command), command)
    assert (tmp_path / "link").is_char_device() and os.listdir(tmp_path) == ["link"]


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_what_cannot_flow_is_refused_before_work(name, it, refused, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.load", None)  # no work is done
    (tmp_path / "link").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pipe")
    for output in ("link", "pipe"):
        assert f"--output {tmp_path / output} is " in refused(*{**FILES, **FOLDERS}[name](it, tmp_path / output))
    assert (tmp_path / "link").is_char_device() and (tmp_path / "pipe").is_fifo()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


@pytest.mark.parametrize("name", [*STREAMS, *FILES, *FOLDERS])
def test_a_link_stays_and_permissions_are_kept(name, it, ringformer, tmp_path):
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    target.parent.mkdir()
    command = {**STREAMS, **FILES, **FOLDERS}[name](it, link)
    if name in FOLDERS:
        target.mkdir()
    else:
        target.write_text("before")
    target.chmod(0o750)
    link.symlink_to("there/target")
    assert ringformer(*command)[0] == 0
    assert os.readlink(link) == "there/target" and os.listdir(target.parent) == ["target"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o750
    assert os.listdir(target) if name in FOLDERS else target.read_bytes() != b"before"


def cka(it, prefix):
    return ("cka", "--path", it.classifier, it.classifier, "--data", it.images, "--output", prefix, *CPU[:2])


def test_pictures_are_files_and_their_figures_may_flow(it, ringformer, refused, tmp_path):
    for ending in (".png", ".svg"):
        (tmp_path / f"x{ending}").symlink_to("/dev/null")
        assert f"--output {tmp_path}/x{ending} is a device or a pipe" in refused(*cka(it, tmp_path / "x"))
        (tmp_path / f"x{ending}").unlink()
    (tmp_path / "x.json").symlink_to("/dev/full")
    assert "x.json: No space left on device" in in_one_line(ringformer(*cka(it, tmp_path / "x")), ["cka"])
    assert (tmp_path / "x.json").is_char_device()
    (tmp_path / "there.png").touch(0o600)
    (tmp_path / "y.png").symlink_to("there.png")
    assert ringformer(*cka(it, tmp_path / "y"))[0] == 0
    assert os.readlink(tmp_path / "y.png") == "there.png" and (tmp_path / "there.png").stat().st_size > 5000
    assert stat.S_IMODE((tmp_path / "there.png").stat().st_mode) == 0o600


def test_pictures_on_a_full_disk(it, ringformer, tmp_path):
    with small_disk(tmp_path / "disk", "64k"):
        (tmp_path / "disk/x.png").write_text("before")
        fill(tmp_path / "disk")
        assert "No space left on device" in in_one_line(ringformer(*cka(it, tmp_path / "disk/x")), ["cka"])
        assert sorted(os.listdir(tmp_path / "disk")) == ["filler", "x.png"]
        assert (tmp_path / "disk/x.png").read_text() == "before"


def test_a_training_whose_disk_is_full_keeps_its_checkpoint(it, ringformer, tmp_path):
    images = write_folder(tmp_path / "images/train", size=32, mode="L").parent
    write_folder(images / "validation", size=32, mode="L")
    disk = tmp_path / "disk"
    model = ("--model", "vit_ring_tiny_patch4_28", "--data", images, "--batch-size", 4, "--output", disk / "run", *CPU)
    with small_disk(disk, "16m"):
        assert ringformer("train-classifier", *model, "--epochs", 1)[0] == 0
        before = (disk / "run/last.pt").read_bytes()
        fill(disk)
        again = ringformer("train-classifier", *model, "--epochs", 2)
        assert again[0] != 0 and again[2].count("No space left on device") == 1 and "Traceback" not in again[2]
        assert (disk / "run/last.pt").read_bytes() == before and not list(disk.rglob(".partial*"))


def fill(folder):
    with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


@contextlib.contextmanager
def small_disk(folder, size):
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"a disk to fill needs the right to mount one: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", [*STREAMS, *FILES, *FOLDERS])
def test_a_full_disk_leaves_what_was_there(name, it, ringformer, tmp_path):
    disk = tmp_path / "disk"
    output = disk / "out"
    command = {**STREAMS, **FILES, **FOLDERS}[name](it, output)
    with small_disk(disk, "64k"):
        if name in FOLDERS:
            output.mkdir()
        elif name != "translate":  # grows line by line, for whoever reads along: what was there is gone
            output.write_text("before")
        fill(disk)
        assert "No space left on device" in in_one_line(ringformer(*command), command)
        assert sorted(os.listdir(disk)) == ["filler", "out"]
        if name != "translate":
            assert (output.is_dir() and not os.listdir(output)) or output.read_text() == "before"
