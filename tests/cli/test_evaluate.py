import json
import shutil

import pytest
import torch

from fairseq_ringformer.vision.checkpoint import input_config, load_classifier
from fairseq_ringformer.vision.classifier import RingClassifier
from fairseq_ringformer.vision.data import eval_transform, open_images
from tests.cli.classifiers import classifier, write_images
from tests.hostile import Harm
from tests.vision.images import damage, encoded, write_folder, write_splits
from tests.vision.test_checkpoint import stock

CLASSES = tuple("abcdefg")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A checkpoint of a model of seven classes that has learned nothing; its path."""
    import timm

    from fairseq_ringformer.files import write_checkpoint

    path = str(tmp_path_factory.mktemp("model") / "best.pt")
    arguments = dict(img_size=8, patch_size=4, embed_dim=16, depth=2, num_heads=2, in_chans=1)
    torch.manual_seed(2)
    weights = timm.create_model("vit_tiny_patch16_224", num_classes=7, **arguments).state_dict()
    weights["head.weight"].mul_(50)
    size = dict(size=(1, 8, 8), mean=(0.5,), std=(0.25,), interpolation="bicubic", crop_pct=1.0)
    write_checkpoint(
        dict(
            arch="vit_tiny_patch16_224",
            model_args=arguments,
            num_classes=7,
            classes=list(CLASSES),
            input=size,
            state_dict=weights,
        ),
        path,
    )
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("images"), train=1, validation=6, size=8, mode="L", classes=CLASSES)


FLAGS = ["--device", "cpu", "--workers", 0]


def counted(path, data):
    """Predicted classes, by likelihood, and targets: one image at a time."""
    classifier, state = load_classifier(path)
    images = open_images(str(data), "validation", transform=eval_transform(input_config(state)), channels=1)
    with torch.no_grad():
        return [(classifier(image[None])[0].argsort(descending=True).tolist(), target) for image, target, _ in images]


def test_accuracy_against_counting(ringformer, model, data, tmp_path):
    found = counted(model, data)
    top1 = 100 * sum(order[0] == target for order, target in found) / len(found)
    top5 = 100 * sum(target in order[:5] for order, target in found) / len(found)
    status, out, err = ringformer(
        "evaluate", "--path", model, "--data", data, *FLAGS, "--batch-size", 5, "--per-class", "--json", tmp_path / "x"
    )
    figures = json.loads((tmp_path / "x").read_text())
    assert (status, err) == (0, "")
    assert (figures["top1"], figures["top5"]) == (pytest.approx(top1), pytest.approx(top5))
    assert figures["images"] == len(found) == 42 and 0 < top1 < top5 < 100
    lines = out.splitlines()
    assert lines[0].startswith(f"{model} (vit_tiny_patch16_224): top-1 {top1:.2f}, top-5 {top5:.2f}, loss ")
    assert len(lines) == 3 + 7 and lines[1].split() == ["class", "images", "top-1", "most", "often", "taken", "for"]
    for target, row in enumerate(figures["per_class"]):
        own = [order[0] for order, wanted in found if wanted == target]
        assert row["images"] == len(own) and row["top1"] == pytest.approx(100 * own.count(target) / len(own))
        wrong = [predicted for predicted in own if predicted != target]
        assert row["taken_for_count"] == max(map(wrong.count, wrong), default=0)
        if wrong:
            assert wrong.count(CLASSES.index(row["taken_for"])) == row["taken_for_count"]


def test_an_early_exit_is_a_pruned_model(ringformer, refused, model, data, tmp_path):
    """timm's own model and one of ours, against counting with the model cut by hand."""
    ring = classifier(tmp_path / "ring" / "best.pt")
    for path, images in ((model, data), (ring, write_images(tmp_path / "x", 4))):
        early, state = load_classifier(path)
        early.prune_intermediate_layers([0], prune_head=False)
        opened = open_images(str(images), "validation", transform=eval_transform(input_config(state)), channels=1)
        with torch.no_grad():
            losses = [-early(image[None])[0].log_softmax(-1)[target].item() for image, target, _ in opened]
        flags = ("--path", path, "--data", images, *FLAGS)
        assert ringformer("evaluate", *flags, "--exit-level", 1, "--json", tmp_path / "y")[0] == 0
        figures = json.loads((tmp_path / "y").read_text())
        assert figures["exit_level"] == 1 and figures["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)
        assert "--exit-level 9 must lie between 1 and" in refused("evaluate", *flags, "--exit-level", 9)


def test_an_exit_into_a_head_of_another_width_is_refused(refused, data, tmp_path):
    import timm
    import torch

    settings = dict(in_chans=1, num_classes=7)
    state = dict(arch="test_convnext", model_args=settings, num_classes=7, classes=CLASSES, metric=0.0, epoch=0)
    state |= dict(input=dict(size=(1, 64, 64), mean=(0.5,), std=(0.5,)))
    torch.save({**state, "state_dict": timm.create_model("test_convnext", **settings).state_dict()}, tmp_path / "x.pt")
    err = refused("evaluate", "--path", tmp_path / "x.pt", "--data", data, *FLAGS, "--exit-level", 2)
    assert "--exit-level 2: test_convnext gives an image" in err


def test_damaged_images_are_left_out_and_named(ringformer, model, tmp_path):
    data = write_splits(tmp_path, train=1, validation=3, size=8, mode="L", classes=CLASSES)
    bad = damage(data / "validation/c/1.png")
    status, out, err = ringformer("evaluate", "--path", model, "--data", data, *FLAGS)
    assert status == 0 and out.endswith("20 images, 1 damaged left out\n")
    assert err == f"damaged, left out: {bad}\n"


def test_files_that_are_no_images_are_named_and_counted(ringformer, model, tmp_path):
    data = write_splits(tmp_path, train=1, validation=2, size=8, mode="L", classes=CLASSES)
    (data / "validation/c/1.txt").write_text("no image")
    status, out, err = ringformer("evaluate", "--path", model, "--data", data, *FLAGS, "--json", tmp_path / "x")
    assert status == 0 and "14 images" in out
    assert err == f"1 file is no image, left out: {data}/validation/c/1.txt\n"
    assert json.loads((tmp_path / "x").read_text())["no_images"] == 1


def test_the_onnx_file_and_timms_folder_give_what_the_checkpoint_gives(ringformer, tmp_path):
    import timm

    path, data = classifier(tmp_path / "ring.pt", embed_dim=16), write_images(tmp_path / "data", count=2)
    assert ringformer("export", "--to", "onnx", "--path", path, "--output", tmp_path / "exported")[0] == 0
    model, state = load_classifier(path)
    size = input_config(state)
    timm.models.save_for_hf(
        model,
        tmp_path / "folder",
        model_config=dict(label_names=state["classes"]),
        data_config=dict(mean=size.mean, std=size.std, crop_pct=size.crop_pct),
    )
    found = {}
    for name in (path, tmp_path / "exported", tmp_path / "folder"):
        status, out, _ = ringformer("predict", "--path", name, "--device", "cpu", "--json", data)
        assert status == 0
        found[name] = [json.loads(line) for line in out.splitlines()]
        evaluated = ringformer("evaluate", "--path", name, "--data", data, *FLAGS, "--json", tmp_path / "x")
        assert evaluated[0] == 0
        found[name].append(json.loads((tmp_path / "x").read_text())["top1"])
    for name, rows in found.items():
        assert rows[-1] == found[path][-1]
        for row, wanted in zip(rows[:-1], found[path][:-1]):
            assert [entry["class"] for entry in row["classes"]] == [entry["class"] for entry in wanted["classes"]]
            probabilities = [entry["probability"] for entry in row["classes"]]
            assert probabilities == pytest.approx([entry["probability"] for entry in wanted["classes"]], abs=1e-4)
    shutil.rmtree(tmp_path / "folder")  # of a model of timm's, as a rule, which tells no names of classes
    timm.models.save_for_hf(model, tmp_path / "folder", data_config=dict(mean=size.mean, std=size.std))
    evaluated = ringformer("evaluate", "--path", tmp_path / "folder", "--data", data, *FLAGS, "--json", tmp_path / "x")
    assert evaluated[0] == 0 and json.loads((tmp_path / "x").read_text())["top1"] == found[path][-1]


def test_other_forms_that_cannot_be_read(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    assert "a folder without a config.json" in refused("predict", "--path", tmp_path / "folder", "x.png")
    (tmp_path / "folder" / "config.json").write_text('{"architecture": "vit_tiny_patch16_224"')
    assert "timm cannot read this folder" in refused("predict", "--path", tmp_path / "folder", "x.png")
    (tmp_path / "folder" / "config.json").write_text(
        '{"architecture": "vit_ring_tiny_patch4_28", "pretrained_cfg": {}}'
    )
    torch.save({"head.weight": Harm(tmp_path / "harm")}, tmp_path / "folder" / "pytorch_model.bin")
    assert "timm cannot read this folder" in refused("predict", "--path", tmp_path / "folder", "x.png")
    assert not (tmp_path / "harm").exists()
    (tmp_path / "x.onnx").write_bytes(b"\x08\x0a nothing of the kind")
    assert "no ONNX file that can be run" in refused("predict", "--path", tmp_path / "x.onnx", "x.png")
    assert "leave --ema out" in refused("predict", "--ema", "--path", tmp_path / "folder", "x.png")


def test_predict_reads_a_folder_as_training_does(ringformer, model, tmp_path):
    folder = write_folder(tmp_path / "x", classes=("a", ".hidden"), count=1, size=8, mode="L")
    (folder / "a" / "2.gif").write_bytes(encoded(1, 8, "L", "GIF"))
    (folder / "a" / "3.txt").write_text("no image")
    status, out, err = ringformer("predict", "--path", model, "--device", "cpu", folder)
    assert status == 0 and [line.partition(":")[0] for line in out.splitlines()] == [
        f"{folder}/a/0.png",
        f"{folder}/a/2.gif",
    ]
    assert err == f"ringformer predict: {folder}: 1 file is no image, left out: {folder}/a/3.txt\n"


def test_predict_passes_over_a_folder_that_it_cannot_look_through(ringformer, model, tmp_path):
    folder = write_folder(tmp_path / "x", classes=("a",), count=1, size=8, mode="L")
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop/back").symlink_to(tmp_path / "loop")
    status, out, err = ringformer("predict", "--path", model, "--device", "cpu", tmp_path / "loop", folder)
    assert (status, out.partition(":")[0], err.count("\n")) == (1, f"{folder}/a/0.png", 1)
    assert "loop/back: a link to a folder that it lies in" in err


def test_some_of_the_classes(ringformer, model, data, tmp_path):
    """Targets are the model's, not those of the folder that has only some of its classes."""
    write_folder(tmp_path / "validation", classes=("c", "f"), count=6, size=8, mode="L", seed=9)
    status, out, _ = ringformer("evaluate", "--path", model, "--data", tmp_path, *FLAGS, "--per-class")
    assert status == 0 and [line.split()[0] for line in out.splitlines()[3:]] == ["c", "f"]


def test_classes_that_the_model_does_not_have(refused, model, tmp_path):
    write_folder(tmp_path / "validation", classes=("a", "zebra"), size=8, mode="L")
    err = refused("evaluate", "--path", model, "--data", tmp_path, *FLAGS)
    assert "has classes that the model does not have: zebra" in err


def test_five_classes_or_fewer_have_no_top5(ringformer, tmp_path):
    _, path = stock(tmp_path / "model.pt")
    write_folder(tmp_path / "validation", classes=tuple("abc"), size=8, mode="L")
    status, out, _ = ringformer("evaluate", "--path", path, "--data", tmp_path, *FLAGS)
    assert status == 0 and "top-5" not in out


def test_mistakes(refused, model, data, tmp_path):
    assert "no.pt: no such checkpoint" in refused("evaluate", "--path", "no.pt", "--data", data, *FLAGS)
    assert "/no: no such folder" in refused("evaluate", "--path", model, "--data", "/no", *FLAGS)
    assert "no split test-a" in refused("evaluate", "--path", model, "--data", data, "--split", "test-a", *FLAGS)
    assert "holds no averaged weights" in refused("evaluate", "--path", model, "--data", data, "--ema", *FLAGS)
    command = ["evaluate", "--path", model, "--data", data, *FLAGS, "--json"]
    assert "/no: no such folder for --json" in refused(*command, tmp_path / "no/x.json")
    assert "is a folder: name a file" in refused(*command, tmp_path)
    assert "is to be read: write to another file" in refused(*command, model)
    assert "no.pt: no such checkpoint" in refused("predict", "--path", "no.pt", "x.png")


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_weights_are_prepared_where_the_model_can(ringformer, tmp_path, monkeypatch, command):
    """After the model is on its device, and before it reads an image."""
    calls = []
    monkeypatch.setattr(RingClassifier, "reparameterize", lambda self: calls.append(self.training), raising=False)
    path, data = classifier(tmp_path / "ring.pt"), write_images(tmp_path / "data", count=1)
    rest = ["--data", data] if command == "evaluate" else [data / "validation/a/0.png"]
    assert ringformer(command, "--path", path, "--device", "cpu", *rest)[0] == 0 and calls == [False]


def test_predict_agrees_with_the_model(ringformer, model, data):
    orders = [order for order, _ in counted(model, data)]
    folder = data / "validation"
    status, out, err = ringformer("predict", "--path", model, "--device", "cpu", "--top", 3, "--json", folder)
    rows = [json.loads(line) for line in out.splitlines()]
    assert (status, err, len(rows)) == (0, "", 42)
    assert [row["image"] for row in rows] == sorted(map(str, folder.glob("*/*.png")))
    for row, order in zip(rows, orders):
        assert [CLASSES.index(entry["class"]) for entry in row["classes"]] == order[:3]
        assert 0 < sum(entry["probability"] for entry in row["classes"]) <= 1 + 1e-5
    status, out, _ = ringformer("predict", "--path", model, "--device", "cpu", folder / "a/0.png")
    assert status == 0 and out.startswith(f"{folder}/a/0.png: {CLASSES[orders[0][0]]} 0.") and out.count(",") == 4


def test_predict_goes_on_after_an_unreadable_file(ringformer, model, tmp_path):
    write_folder(tmp_path, classes=("a",), count=2, size=20)  # of another size, and in colour
    bad, empty = damage(tmp_path / "a/0.png"), tmp_path / "empty"
    empty.mkdir()
    paths = [bad, tmp_path / "no.png", empty, tmp_path / "a/1.png"]
    status, out, err = ringformer("predict", "--path", model, "--device", "cpu", *paths)
    assert status == 1 and out.startswith(f"{tmp_path}/a/1.png: ") and out.count("\n") == 1
    lines = err.splitlines()
    assert lines[0].startswith(f"ringformer predict: {bad}: damaged, or no image (")
    assert lines[1:] == [
        f"ringformer predict: {tmp_path}/no.png: No such file or directory",
        f"ringformer predict: {empty}: a folder without images",
    ]
