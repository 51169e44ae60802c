import pytest

from tests.cli.classifiers import classifier, write_images

CPU = ("--device", "cpu")


def test_a_fold_cannot_be_told_from_its_ring(ringformer, inspected, toy, tmp_path):
    ring, folded = toy.run / "checkpoint_last.pt", tmp_path / "folded.pt"
    assert ringformer("fold", "--path", ring, "--output", folded)[0] == 0
    own = ["--path", ring, folded, "--data", toy.data, "--subset", "train", "--rows", 600]
    found, out = inspected("probe", tmp_path / "x", *own)
    assert list(found["sides"]) == ["encoder", "decoder"] and found["align"] == "procrustes"
    for side in found["sides"].values():
        assert side["levels"] == ["input", "1", "2"]
        assert 580 < sum(side["rows"]) <= 600 and max(side["sentences"]) - min(side["sentences"]) <= 1
        for name in ("linear", "mlp"):
            assert side[name]["accuracy"] == pytest.approx([0.5] * 3, abs=0.01)
            assert all(low <= 0.5 <= high for low, high in zip(side[name]["low"], side[name]["high"]))
    assert out.startswith("encoder, ") and "\ndecoder, " in out and "linear 0.500 to 0.500" in out
    again, _ = inspected("probe", tmp_path / "y", *own)
    assert again == found


def test_models_of_different_widths(inspected, refused, toy, tmp_path):
    paths = [toy.run / "checkpoint_last.pt", toy.other / "checkpoint_last.pt"]
    own = ["--path", *paths, "--data", toy.data, "--subset", "train", "--side", "encoder"]
    err = refused("probe", *own, "--output", tmp_path / "x", *CPU)
    assert f"the states of {paths[0]} have 32 channels, those of {paths[1]} 16: add --align ridge" in err
    found, _ = inspected("probe", tmp_path / "x", *own, "--align", "ridge")
    assert list(found["sides"]) == ["encoder"] and found["sides"]["encoder"]["mlp"]["low"][-1] > 0.55


def test_classifiers(inspected, refused, tmp_path):
    ring, vanilla, shallow = (
        classifier(tmp_path / name / "best.pt", f"vit_{name}_tiny_patch4_28", depth=depth)
        for name, depth in (("ring", 3), ("vanilla", 3), ("universal", 2))
    )
    data = write_images(tmp_path / "x", 24)
    own = ["--path", ring, vanilla, "--data", data]
    found, out = inspected("probe", tmp_path / "y", *own, "--tokens", "mean")
    side = found["sides"]["encoder"]
    assert side["levels"] == ["input", "1", "2", "3"] and side["images"] == side["rows"] == [40, 40, 40]
    assert out.startswith("120 images, 120 rows (means over patches), alignment procrustes: accuracy linear 0.")
    output = ("--output", tmp_path / "z", *CPU)
    few = refused("probe", *own, "--examples", 20, *output)
    assert "the probe needs at least 30 images, there are 20: add --examples or --rows" in few
    deep = refused("probe", "--path", ring, shallow, "--data", data, *output)
    assert f"{ring} has 3 levels in its encoder, {shallow} 2: the probe compares levels of equal number" in deep
    assert not list(tmp_path.glob("z*"))
