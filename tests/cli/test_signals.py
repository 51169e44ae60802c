import pytest
import torch

from fairseq_ringformer.vision.checkpoint import load_classifier
from fairseq_ringformer.vision.data import InputConfig, eval_transform, open_images
from tests.cli.classifiers import INPUT, classifier, write_images

CPU = ("--device", "cpu")


def test_of_a_classifier(inspected, tmp_path):
    path, data = classifier(tmp_path / "ring" / "best.pt"), write_images(tmp_path / "x", 2)
    found, out = inspected("signals", tmp_path / "y", "--path", path, "--data", data)
    assert found["examples"] == 10 and found["sides"]["encoder"]["rows"] == 10 * 17
    parts = found["sides"]["encoder"]["parts"]
    assert list(parts) == ["q", "k", "v", "ffn"]
    model, _ = load_classifier(path)
    transform = eval_transform(InputConfig(**INPUT))
    images = open_images(str(data), "validation", transform=transform, channels=1)
    with torch.no_grad():  # the first level's queries read the normalised input
        x = model.stack.norms["self_attn"].at(0)(model.embed(torch.stack([image for image, _, _ in images])))
        signal = x @ model.stack.signals_at("self_attn.qkv_proj").matrix()[0, 0].T
        plain = x @ model.stack.self_attn[0].qkv_proj.weight[:32].T
    assert parts["q"]["ratio"][0] == pytest.approx(float(signal.norm() / plain.norm()), rel=1e-3)
    assert parts["q"]["ratio_to"] == "W x" and parts["ffn"]["ratio_to"] == "x"
    lines = out.splitlines()
    assert lines[0] == "vit_ring_tiny_patch4_28: 10 images, 170 tokens (encoder)" and len(lines) == 1 + 2 + 3 + 2
    assert lines[1].split()[:3] == ["level", "q", "|Mx|/|Wx|"]
    assert float(lines[3].split()[1]) == pytest.approx(parts["q"]["ratio"][0], abs=1e-3)


def test_of_a_translation_model(inspected, toy, tmp_path):
    arguments = ["--path", toy.run / "checkpoint_last.pt", "--data", toy.data, "--subset", "valid"]
    found, out = inspected("signals", tmp_path / "y", *arguments)
    assert list(found["sides"]) == ["encoder", "decoder"] and found["examples"] == 10
    for side in found["sides"].values():
        for own in side["parts"].values():
            assert own["rank_limit"] == 2 and all(1 <= rank <= 2 for rank in own["effective_rank"])
            assert own["cosine"][0][0] == pytest.approx(1) and own["cosine"][0][1] == pytest.approx(own["cosine"][1][0])
            assert all(ratio > 0 for ratio in own["ratio"])
    assert "encoder level" in out and "decoder level" in out


def test_models_without_signals(refused, tmp_path):
    data = write_images(tmp_path / "x", 1)
    for name, reason in (
        ("vit_vanilla_tiny_patch4_28", "the model has no level signals"),
        ("vit_universal_tiny_patch4_28", "its signals are static (Universal Transformer)"),
    ):
        path = classifier(tmp_path / name / "best.pt", name)
        err = refused("signals", "--path", path, "--data", data, "--output", tmp_path / "y", *CPU)
        assert f"{path}: {reason}" in err
    assert not list(tmp_path.glob("y*"))


def test_a_ring_that_has_not_learned(inspected, tmp_path):
    """Signals start at zero: they have no direction and no rank."""
    path, data = classifier(tmp_path / "ring" / "best.pt"), write_images(tmp_path / "x", 1)
    state = torch.load(path, weights_only=True)
    for key, weight in state["state_dict"].items():
        if ".signals." in key and key.endswith("up"):
            weight.zero_()
    torch.save(state, path)
    found, _ = inspected("signals", tmp_path / "y", "--path", path, "--data", data)
    own = found["sides"]["encoder"]["parts"]["v"]
    assert own["ratio"] == [0, 0, 0] and own["effective_rank"] == [None] * 3 and own["cosine"][1] == [None] * 3
