import shutil

import pytest
import torch

from fairseq_ringformer.vision.checkpoint import load_classifier
from fairseq_ringformer.vision.data import InputConfig, eval_transform, open_images
from tests.analysis.inspection.formulas import unbiased_cka
from tests.cli.classifiers import CLASSES, INPUT, classifier, write_images
from tests.cli.dictionaries import turn
from tests.vision.images import damage

CPU = ("--device", "cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A ring of three levels and a vanilla model of two; images."""
    root = tmp_path_factory.mktemp("classifiers")
    ring = classifier(root / "ring" / "best.pt")
    vanilla = classifier(root / "vanilla" / "best.pt", "vit_vanilla_tiny_patch4_28", depth=2)
    return ring, vanilla, write_images(root / "x")


def test_a_translation_model_with_itself(inspected, toy, tmp_path):
    path = toy.run / "checkpoint_last.pt"
    found, out = inspected(
        "cka", tmp_path / "own", "--path", path, path, "--data", toy.data, "--subset", "valid", "--batch-rows", 16
    )
    assert list(found["sides"]) == ["encoder", "decoder"] and found["examples"] == 10
    for language, side in zip(("de", "en"), found["sides"].values()):
        lines = (toy.root / f"valid.sub.{language}").read_text(encoding="utf-8").splitlines()
        tokens = sum(len(line.split()) + 1 for line in lines)
        assert side["rows"] == tokens - (tokens % 16 if tokens % 16 < 4 else 0)
        matrix = torch.tensor(side["cka"])
        assert side["levels"] == [["input", "1", "2"]] * 2
        torch.testing.assert_close(matrix.diagonal(), torch.ones(3))
        torch.testing.assert_close(matrix, matrix.T)
        assert float(matrix[0, 2]) < 0.999
    assert out.startswith("encoder, 10 sentences, ") and "written: " in out


def test_rows_are_the_tokens_without_padding(inspected, toy, tmp_path):
    """Against the model's own states, one sentence at a time, so that nothing is padded."""
    from fairseq_ringformer.export.checkpoints import read_fairseq_checkpoint
    from fairseq_ringformer.export.loading import load_model
    from fairseq_ringformer.text.fairseq_engine import build_task

    paths = [str(toy.run / "checkpoint_last.pt"), str(toy.other / "checkpoint_last.pt")]
    states = [read_fairseq_checkpoint(path) for path in paths]
    task = build_task(paths[0], states[0], str(toy.data), (None, None))
    task.load_dataset("valid")
    data = task.datasets["valid"]
    features = []
    for state in states:
        model = load_model(state)
        rows = {"encoder": [], "decoder": []}
        for index in range(len(data)):
            sentence = data.collater([data[index]])["net_input"]
            with torch.no_grad():
                encoded = model.encoder(sentence["src_tokens"], return_all_hiddens=True)
                _, extra = model.decoder(sentence["prev_output_tokens"], encoded, return_all_hiddens=True)
            rows["encoder"].append(torch.stack(encoded["encoder_states"])[:, :, 0])
            rows["decoder"].append(torch.stack(extra["inner_states"])[:, :, 0])
        features.append({side: torch.cat(own, dim=1) for side, own in rows.items()})
    arguments = ["--path", *paths, "--data", toy.data, "--subset", "valid", "--names", "wide", "thin"]
    found, _ = inspected("cka", tmp_path / "two", *arguments)
    for side, own in found["sides"].items():
        first, second = features[0][side], features[1][side]
        expected = [[unbiased_cka(x, y) for y in second] for x in first]
        torch.testing.assert_close(torch.tensor(own["cka"]), torch.tensor(expected), atol=1e-4, rtol=0)
        assert own["rows"] == first.size(1) == int(sum(data.src_sizes if side == "encoder" else data.tgt_sizes))
    assert [entry["name"] for entry in found["checkpoints"]] == ["wide", "thin"]


@pytest.mark.parametrize("tokens", ["class", "mean"])
def test_classifiers_of_different_depth(inspected, models, tmp_path, tokens):
    ring, vanilla, data = models
    flags = [] if tokens == "class" else ["--tokens", tokens]
    found, out = inspected("cka", tmp_path / "x", "--path", ring, vanilla, "--data", data, *flags)
    own = found["sides"]["encoder"]
    skipped = 1 if tokens == "class" else 0
    assert own["levels"] == [["input", "1", "2", "3"][skipped:], ["input", "1", "2"][skipped:]]
    transform = eval_transform(InputConfig(**INPUT))
    images = open_images(str(data), "validation", transform=transform, channels=1)
    batch = torch.stack([images[index][0] for index in range(len(images))])
    features = []
    for path in (ring, vanilla):
        model, _ = load_classifier(path)
        with torch.no_grad():
            states = model.stack(model.embed(batch), return_states=True).states[skipped:]
        features.append([state[:, 0] if skipped else state[:, 1:].mean(1) for state in states])
    expected = torch.tensor([[unbiased_cka(x, y) for y in features[1]] for x in features[0]])
    torch.testing.assert_close(torch.tensor(own["cka"]), expected, atol=1e-3, rtol=0)
    assert out.startswith("40 images, 40 rows (")


def test_a_folded_model_has_the_same_levels(ringformer, inspected, models, tmp_path):
    """timm's own VisionTransformer, and the ring that it was folded from."""
    ring, _, data = models
    folded = tmp_path / "folded.pt"
    assert ringformer("fold", "--path", ring, "--output", folded)[0] == 0
    found, _ = inspected("cka", tmp_path / "x", "--path", ring, folded, "--data", data, "--tokens", "mean")
    diagonal = torch.tensor(found["sides"]["encoder"]["cka"]).diagonal()
    torch.testing.assert_close(diagonal, torch.ones(4), atol=1e-4, rtol=0)


def test_a_folded_translation_model_has_the_same_levels(ringformer, inspected, toy, tmp_path):
    ring, folded = toy.run / "checkpoint_last.pt", tmp_path / "folded.pt"
    assert ringformer("fold", "--path", ring, "--output", folded)[0] == 0
    arguments = ["--path", ring, folded, "--data", toy.data, "--subset", "valid", "--side", "decoder"]
    found, _ = inspected("cka", tmp_path / "x", *arguments)
    assert list(found["sides"]) == ["decoder"]
    diagonal = torch.tensor(found["sides"]["decoder"]["cka"]).diagonal()
    torch.testing.assert_close(diagonal, torch.ones(3), atol=1e-4, rtol=0)


def test_damaged_images_are_left_out_and_named(ringformer, models, tmp_path):
    data = write_images(tmp_path / "x", 4)
    bad = damage(data / "validation/c/1.png")
    status, out, err = ringformer("cka", "--path", *models[:2], "--data", data, "--output", tmp_path / "y", *CPU)
    assert (status, err) == (0, f"damaged, left out: {bad}\n") and out.startswith("19 images, 19 rows (")


def test_the_seed_draws_examples(inspected, models, tmp_path):
    ring, vanilla, data = models
    own = ["--path", ring, vanilla, "--data", data, "--examples", 12, "--seed"]
    draws = (("a", 1), ("b", 1), ("c", 2))
    found = [inspected("cka", tmp_path / name, *own, seed)[0] for name, seed in draws]
    matrices = [own["sides"]["encoder"]["cka"] for own in found]
    assert matrices[0] == matrices[1] != matrices[2] and found[0]["examples"] == 12


def test_mistakes(refused, toy, models, tmp_path):
    path, (ring, vanilla, data) = toy.run / "checkpoint_last.pt", models
    output = ("--output", tmp_path / "x", *CPU)
    text = ["cka", "--path", path, path, "--data", toy.data]
    pictures = ["cka", "--path", ring, vanilla, "--data", data]
    assert "no subset test of de-en" in refused(*text, *output)
    assert "/no: no such data folder" in refused("cka", "--path", path, path, "--data", "/no", *output)
    mixed = refused("cka", "--path", path, ring, "--data", toy.data, *output)
    assert f"is a model for translation, {ring} one for images" in mixed
    assert "--split is for image classifiers" in refused(*text, "--split", "validation", *output)
    assert "--names has 1 names for 2 checkpoints" in refused(*text, "--names", "a", *output)
    assert "/no: no such folder for --output" in refused(*text, "--output", tmp_path / "no/x")
    assert f"give the start of the names, {tmp_path}/x" in refused(*text, "--output", tmp_path / "x.png")
    assert "no split nights" in refused(*pictures, "--split", "nights", *output)
    assert "--side is for translation models" in refused(*pictures, "--side", "encoder", *output)
    assert "CKA needs at least 4 rows, there are 3: add --examples" in refused(*pictures, "--examples", 3, *output)
    assert list(tmp_path.iterdir()) == []
    other = classifier(tmp_path / "other" / "best.pt", classes=CLASSES[::-1])
    assert "were trained on different classes" in refused("cka", "--path", ring, other, "--data", data, *output)


def test_vocabularies_that_differ(refused, toy, tmp_path):
    """The second checkpoint knows other symbols than the data and the first."""
    path = toy.run / "checkpoint_last.pt"
    state = torch.load(path, weights_only=True)
    table = state["model"]["encoder.embed_tokens.weight"]
    state["model"]["encoder.embed_tokens.weight"] = torch.cat([table, table[:3]])
    torch.save(state, tmp_path / "other.pt")
    own = ["cka", "--path", path, tmp_path / "other.pt", "--data", toy.data, "--subset", "valid"]
    err = refused(*own, "--output", tmp_path / "x")
    assert f"has other dictionaries than {tmp_path}/other.pt was trained with" in err


def trained_on(path, folder, output):
    """A copy of a checkpoint whose training data lay in `folder`, and which carries no dictionaries."""
    state = torch.load(path, weights_only=True)
    del state["task_state"]
    state["cfg"]["task"]["data"] = str(folder)
    torch.save(state, output)
    return output


def test_vocabularies_of_the_same_size(refused, ringformer, toy, tmp_path):
    path, turned = toy.run / "checkpoint_last.pt", turn(toy.data, tmp_path / "turned")
    first = (turned / "dict.de.txt").read_text(encoding="utf-8").split(" ")[0]
    output = ("--subset", "valid", "--output", tmp_path / "x", *CPU)
    err = refused("cka", "--path", path, path, "--data", turned, *output)
    assert f"{turned} has other dictionaries than {path} was trained with: on the source side" in err
    assert f"entry 4 is '{first}' against " in err
    other = trained_on(path, turned, tmp_path / "other.pt")
    err = refused("cka", "--path", path, other, "--data", toy.data, *output)
    assert f"{toy.data} has other dictionaries than {other} was trained with, in {turned}" in err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["other.pt", "turned"]


def test_vocabularies_that_cannot_be_compared(ringformer, toy, tmp_path):
    """The other model's data are gone: its vocabulary is known by its size alone, which is said."""
    path = toy.run / "checkpoint_last.pt"
    other = trained_on(path, tmp_path / "gone", tmp_path / "other.pt")
    own = ("--data", toy.data, "--subset", "valid", "--output", tmp_path / "x", *CPU)
    status, out, err = ringformer("cka", "--path", path, other, *own)
    assert status == 0 and out.endswith("x.json\n") and err.count("\n") == 1
    assert f"cka: {other} was trained on {tmp_path}/gone, whose dictionaries are not here to compare: make" in err
    (tmp_path / "gone").mkdir()  # a folder without them is as good as none
    assert f"cka: {other} was trained on {tmp_path}/gone, whose" in ringformer("cka", "--path", other, path, *own)[2]
    assert ringformer("cka", "--path", other, other, *own)[::2] == (0, "")  # of one training


def test_relative_data_are_looked_for_above_the_checkpoint(refused, ringformer, toy, tmp_path, monkeypatch):
    """Not in the present directory, where another project's may lie."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    turn(toy.data, elsewhere / "data/bin")
    shutil.copytree(toy.data, project / "data/bin")
    (project / "runs").mkdir()
    path = trained_on(toy.run / "checkpoint_last.pt", "data/bin", project / "runs/checkpoint.pt")
    monkeypatch.chdir(elsewhere)
    own = ("--subset", "valid", "--output", tmp_path / "x", *CPU)
    assert ringformer("cka", "--path", path, path, "--data", toy.data, *own)[::2] == (0, "")
    err = refused("cka", "--path", path, path, "--data", "data/bin", *own)
    assert f"other dictionaries than {path} was trained with, in {project}/data/bin: on the source" in err
    shutil.rmtree(project / "data")
    err = refused("cka", "--path", path, path, "--data", toy.data, *own)
    assert f"other dictionaries than {path} was trained with, in {elsewhere}/data/bin: on the source" in err
