import base64
import json
import shutil

import numpy
import pytest
import torch
from PIL import Image

from fairseq_ringformer.vision.checkpoint import load_classifier
from fairseq_ringformer.vision.data import InputConfig, eval_transform
from tests.analysis.inspection.pages import Page
from tests.cli.classifiers import INPUT, classifier, write_images
from tests.cli.conftest import sentence
from tests.vision.images import damage

CPU = ("--device", "cpu")
ENDINGS = (".png", ".svg", ".json", ".html")


def shown(ringformer, output, *arguments):
    status, out, err = ringformer("attention", *arguments, "--output", output, *CPU)
    paths = [output.with_name(output.name + ending) for ending in ENDINGS]
    assert (status, err) == (0, "") and out == f"written: {', '.join(map(str, paths))}\n"
    with Image.open(paths[0]) as image:
        assert min(image.size) > 200
    page = Page(paths[3])
    assert page.loaded == [] and "http" not in page.scripts["code"]
    return json.loads(paths[2].read_text()), page


@pytest.fixture(scope="module")
def of_toy(toy):
    return ["--path", toy.run / "checkpoint_last.pt", "--data", toy.data]


def test_a_sentence_and_its_own_translation(ringformer, toy, of_toy, tmp_path):
    german, english = sentence([3, 1, 4])
    found, page = shown(ringformer, tmp_path / "x", *of_toy, "--text", german)
    status, translated, _ = ringformer("translate", *of_toy, "--beam", 1, german, "--device", "cpu")
    assert found["source"] == german and found["target"] == translated.strip() and "translation" in page.texts
    names = ["encoder self-attention", "decoder self-attention", "cross-attention"]
    assert [part["name"] for part in found["parts"]] == names
    for number, part in enumerate(found["parts"]):
        weights = numpy.array(part["weights"])
        assert weights.shape == (2, 2, len(part["rows"]), len(part["columns"])) and part["levels"] == [1, 2]
        assert numpy.allclose(weights.sum(-1), 1, atol=1e-3)
        assert numpy.allclose(page.weights(number), weights, atol=0.5 / 255 + 1e-4)
    encoder, decoder, cross = found["parts"]
    assert "".join(encoder["rows"][:-1]).replace("▁", " ").strip() == german and encoder["rows"][-1] == "</s>"
    assert decoder["rows"] == ["</s>", *cross["rows"][:-1]] and cross["rows"][-1] == "</s>"
    assert cross["columns"] == encoder["rows"] == encoder["columns"]
    assert not numpy.triu(numpy.array(decoder["weights"]), 1).any()  # nothing sees what follows it


def test_a_given_target_against_the_stack(ringformer, toy, of_toy, tmp_path):
    from fairseq_ringformer.export.checkpoints import read_fairseq_checkpoint
    from fairseq_ringformer.export.loading import load_model
    from fairseq_ringformer.text.fairseq_engine import build_task

    german, _ = sentence([5])
    found, page = shown(ringformer, tmp_path / "x", *of_toy, "--text", german, "--target", "nine.", "--levels", 2)
    assert found["target"] == "nine." and "target" in page.texts
    state = read_fairseq_checkpoint(str(of_toy[1]))
    task, model = build_task(str(of_toy[1]), state, str(toy.data), (None, None)), load_model(state)
    source, given = (
        torch.tensor([[dictionary.index(name) for name in names]])
        for dictionary, names in (
            (task.source_dictionary, found["parts"][0]["rows"]),
            (task.target_dictionary, found["parts"][1]["rows"]),
        )
    )
    with torch.no_grad():
        encoded = model.encoder.stack(
            model.encoder.embed(source) + model.encoder.embed_positions(source), need_weights=(1,)
        )
        decoded = model.decoder.stack(
            model.decoder.embed(given) + model.decoder.embed_positions(given),
            memory=encoded.state,
            causal=True,
            need_weights=(1,),
        )
    expected = [
        encoded.attn_weights[1]["self_attn"],
        decoded.attn_weights[1]["self_attn"],
        decoded.attn_weights[1]["cross_attn"],
    ]
    for part, weights in zip(found["parts"], expected, strict=True):
        assert part["levels"] == [2]
        torch.testing.assert_close(torch.tensor(part["weights"])[0], weights[0], atol=2e-5, rtol=0)


def test_a_page_holds_any_text(ringformer, of_toy, tmp_path):
    nasty = "eins </script><b>$x_1^2$ & zwei."
    found, page = shown(ringformer, tmp_path / "x", *of_toy, "--text", nasty)
    assert found["source"] == nasty and any("<b>$x_1^2$ & zwei." in text for text in page.texts)
    assert page.data["parts"][0]["rows"] == found["parts"][0]["rows"]


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    root = tmp_path_factory.mktemp("ring")
    return classifier(root / "ring" / "best.pt"), write_images(root / "x", 1) / "validation/b/0.png"


def test_an_image(ringformer, ring, tmp_path):
    path, image = ring
    found, page = shown(ringformer, tmp_path / "x", "--path", path, "--image", image, "--levels", 3, 1)
    model, state = load_classifier(path)
    with Image.open(image) as opened:
        own = eval_transform(InputConfig(**INPUT))(opened.convert("L"))[None]
    with torch.no_grad():
        weights = model.stack(model.embed(own), need_weights=range(3)).attn_weights
        best = int(model(own).argmax())
    over = torch.stack([weights[level]["self_attn"][0, :, 0, 1:] for level in (0, 2)])
    over = (over / over.sum(-1, keepdim=True)).view(2, 4, 4, 4)
    torch.testing.assert_close(torch.tensor(found["weights"]), over, atol=2e-5, rtol=0)
    assert found["levels"] == [1, 3] and found["classified_as"] == state["classes"][best]
    part = page.data["parts"][0]
    assert torch.allclose(torch.tensor(part["largest"]), over.amax((2, 3))) and page.data["width"] == 32
    assert page.weights(0).max((2, 3)).tolist() == [[1] * 4] * 2
    picture = base64.b64decode(page.data["picture"].partition(",")[2])
    (tmp_path / "picture.png").write_bytes(picture)
    with Image.open(tmp_path / "picture.png") as seen, Image.open(image) as opened:
        assert numpy.abs(numpy.asarray(seen)[:, :, 0].astype(int) - numpy.asarray(opened.convert("L"))).max() <= 1


def test_mistakes(ringformer, refused, toy, of_toy, ring, tmp_path):
    path, image = ring
    output = ("--output", tmp_path / "x", *CPU)
    err = refused("attention", *of_toy, "--text", "eins.", "--levels", 2, 3, *output)
    assert f"--levels 3: {of_toy[1]} has levels 1 to 2" in err
    assert "must not be empty" in refused("attention", *of_toy, "--text", " ", *output)
    assert "--text has 49 tokens, the model takes 24" in refused("attention", *of_toy, "--text", ". " * 24, *output)
    assert f"{path} is a model for images: give --image" in refused(
        "attention", "--path", path, "--data", toy.data, "--text", "eins", *output
    )
    err = refused("attention", *of_toy[:2], "--image", image, *output)
    assert f"{of_toy[1]} is a model for translation: give --text" in err
    err = refused("attention", "--path", path, "--image", image, "--data", "x", "--target", "y", *output)
    assert "--data --target: for translation models, with --text" in err
    assert "no.png: No such file or directory" in refused("attention", "--path", path, "--image", "no.png", *output)
    image_itself = ("--path", path, "--image", image, "--output", image.with_suffix(""))
    assert f"{image} is to be read: write to another file" in refused("attention", *image_itself, *CPU)
    bad = tmp_path / "bad.png"
    shutil.copy(image, bad)
    damage(bad)
    assert "bad.png: damaged, or no image" in refused("attention", "--path", path, "--image", bad, *output)
    folded = tmp_path / "folded.pt"
    assert ringformer("fold", "--path", of_toy[1], "--output", folded)[0] == 0
    assert "take the checkpoint that it was folded from" in refused(
        "attention", "--path", folded, *of_toy[2:], "--text", "eins.", *output
    )
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bad.png", "folded.pt"]


WITHOUT = {
    "test_resnet": {},
    "swin_tiny_patch4_window7_224": {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 1)},
    "mixer_s32_224": {},
}


@pytest.mark.parametrize(
    "command, name",
    [
        *(("attention", name) for name in WITHOUT),
        *(("attention-distance", name) for name in WITHOUT),
        ("cka", "test_resnet"),
        ("signals", "mixer_s32_224"),
    ],
)
def test_models_without_levels_that_can_be_read_are_refused_in_a_line(refused, tmp_path, name, command):
    import timm

    from fairseq_ringformer.files import write_checkpoint

    args, path = WITHOUT[name], tmp_path / "timm.pt"
    model = timm.create_model(name, num_classes=5, **args)
    shape = {"size": (3, 224, 224), "mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bilinear", "crop_pct": 1.0}
    state = dict(arch=name, model_args=args, num_classes=5, classes=list("abcde"), input=shape)
    write_checkpoint({**state, "state_dict": model.state_dict()}, str(path))
    (tmp_path / "data/validation").mkdir(parents=True)
    for label in "abcde":
        (tmp_path / "data/validation" / label).mkdir()
        Image.new("RGB", (224, 224)).save(tmp_path / "data/validation" / label / "0.png")
    image = tmp_path / "data/validation/a/0.png"
    given = ("--image", image) if command == "attention" else ("--data", tmp_path / "data")
    paths = (path, path) if command == "cka" else (path,)
    error = refused(command, "--path", *paths, *given, "--output", tmp_path / "x", *CPU)
    expected = (
        "has no levels that can be looked into: give a model of this package",
        "has no signals",
        "has no grid of patches",
    )
    assert any(text in error for text in expected)
