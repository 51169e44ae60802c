"""Whatever command reads a file that somebody else made: nothing in it is executed, and one line says what it is."""

import json
import pickle
import shutil

import pytest
import torch

from tests.cli.classifiers import write_images
from tests.hostile import Harm

FILES = {
    "a pickle": lambda path, harm, whole: path.write_bytes(pickle.dumps(harm)),
    "torch's archive": lambda path, harm, whole: torch.save({"model": harm, "cfg": harm, "arch": harm}, path),
    "half a checkpoint": lambda path, harm, whole: path.write_bytes(whole[: len(whole) // 2]),
    "text": lambda path, harm, whole: path.write_text("cos\nsystem\n(S'touch harm'\ntR.\n"),
    "nothing": lambda path, harm, whole: path.touch(),
}
CPU = ("--device", "cpu")
READERS = {
    "translate": lambda it: ("translate", "eins", "--path", it.path, "--data", it.data),
    "average": lambda it: ("average", "--dir", it.path.parent, "--last", 1, "--by", "epoch", "--output", it.out),
    "fold": lambda it: ("fold", "--path", it.path, "--output", it.out),
    "ctranslate2": lambda it: (
        *("export", "--to", "ctranslate2", "--path", it.path, "--data", it.data, "--output", it.out),
    ),
    "onnx": lambda it: ("export", "--to", "onnx", "--path", it.path, "--output", it.out),
    "evaluate": lambda it: ("evaluate", "--path", it.path, "--data", it.images, *CPU),
    "predict": lambda it: ("predict", "--path", it.path, it.image, *CPU),
    "signals": lambda it: ("signals", "--path", it.path, "--data", it.images, "--output", it.out, *CPU),
    "cka": lambda it: ("cka", "--path", it.path, it.path, "--data", it.images, "--output", it.out, *CPU),
    "probe": lambda it: ("probe", "--path", it.path, it.path, "--data", it.images, "--output", it.out, *CPU),
    "attention": lambda it: ("attention", "--path", it.path, "--image", it.image, "--output", it.out, *CPU),
    "attention-distance": lambda it: (
        *("attention-distance", "--path", it.path, "--data", it.images, "--output", it.out, *CPU),
    ),
    "train-classifier": lambda it: (
        *("train-classifier", "--init-from", it.path, "--model", "vit_ring_tiny_patch4_28", "--data", it.images),
        *("--output", it.out, "--epochs", 1, "--batch-size", 4, *CPU),
    ),
}


@pytest.fixture
def it(toy, tmp_path):
    class Inputs:
        path = tmp_path / "run" / "checkpoint1.pt"
        data = toy.data
        images = write_images(tmp_path / "images", count=1)
        image = images / "validation/a/0.png"
        out = tmp_path / "out"

    Inputs.path.parent.mkdir()
    shutil.copytree(Inputs.images / "validation", Inputs.images / "train")
    return Inputs


# Of those that hold code each reader must be kept; what else a file may be is told by the two loaders.
CASES = [(reader, "torch's archive") for reader in READERS]
CASES += [(reader, kind) for reader in ("translate", "predict") for kind in FILES if kind != "torch's archive"]


@pytest.mark.parametrize("reader, kind", CASES)
def test_checkpoints(reader, kind, it, toy, ringformer, tmp_path):
    FILES[kind](it.path, Harm(tmp_path / "harm"), (toy.run / "checkpoint_last.pt").read_bytes())
    status, _, err = ringformer(*READERS[reader](it))
    assert status != 0 and err.startswith("ringformer ") and err.count("\n") == 1 and "checkpoint1.pt" in err
    assert not (tmp_path / "harm").exists() and not [path for path in tmp_path.glob("out*/**/*") if path.is_file()]


@pytest.mark.parametrize("outside", ["../secret.model", "/etc/passwd"])
def test_a_recipe_reaches_no_file_outside_its_folder(outside, exported, refused, tmp_path):
    shutil.copytree(exported, tmp_path / "model")
    shutil.move(tmp_path / "model/sentencepiece.model", tmp_path / "secret.model")
    recipe = json.loads((tmp_path / "model/recipe.json").read_text())
    (tmp_path / "model/recipe.json").write_text(json.dumps({**recipe, "bpe_model": outside}))
    assert "sub-word model" in refused("translate", "eins", "--model", tmp_path / "model")
