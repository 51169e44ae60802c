import pytest
import torch

from fairseq_ringformer.vision.checkpoint import load_classifier
from fairseq_ringformer.vision.data import InputConfig, eval_transform, open_images
from tests.cli.classifiers import INPUT, classifier, write_images


def test_of_classifiers_against_one_image_at_a_time(inspected, tmp_path):
    data = write_images(tmp_path / "x", 3)
    paths = [
        classifier(tmp_path / "ring" / "best.pt"),
        classifier(tmp_path / "vanilla" / "best.pt", "vit_vanilla_tiny_patch4_28", depth=2, num_heads=2),
    ]
    found, out = inspected("attention-distance", tmp_path / "y", "--path", *paths, "--data", data)
    assert found["unit"] == "pixels" and found["examples"] == 15
    images = open_images(str(data), "validation", transform=eval_transform(InputConfig(**INPUT)), channels=1)
    centres = torch.tensor([[8.0 * row, 8.0 * column] for row in range(4) for column in range(4)])
    distances = torch.cdist(centres, centres)
    for path, own in zip(paths, found["models"]):
        model, _ = load_classifier(path)
        sums = 0
        for image, _, _ in images:
            with torch.no_grad():
                weights = model.stack(model.embed(image[None]), need_weights=range(model.stack.levels)).attn_weights
            patches = torch.stack([weights[level]["self_attn"][0, :, 1:, 1:] for level in sorted(weights)])
            sums = sums + (patches / patches.sum(-1, keepdim=True) * distances).sum(-1).mean(-1)
        expected = sums / len(images)
        torch.testing.assert_close(torch.tensor(own["sides"]["encoder"]["distances"]), expected, atol=1e-4, rtol=0)
        assert own["sides"]["encoder"]["uniform"] == pytest.approx(float(distances.mean()), abs=1e-4)
        assert own["sides"]["encoder"]["queries"] == 15 * 16
    assert "vit_ring_tiny_patch4_28" in out and "nearest head" in out


def test_of_a_translation_model_against_one_sentence_at_a_time(inspected, toy, tmp_path):
    from fairseq_ringformer.export.checkpoints import read_fairseq_checkpoint
    from fairseq_ringformer.export.loading import load_model
    from fairseq_ringformer.text.fairseq_engine import build_task

    path = str(toy.run / "checkpoint_last.pt")
    found, out = inspected(
        "attention-distance", tmp_path / "y", "--path", path, "--data", toy.data, "--subset", "valid"
    )
    state = read_fairseq_checkpoint(path)
    task = build_task(path, state, str(toy.data), (None, None))
    task.load_dataset("valid")
    model, data = load_model(state), task.datasets["valid"]
    sums, queries = {"encoder": 0, "decoder": 0}, {"encoder": 0, "decoder": 0}
    for index in range(len(data)):
        sentence = data.collater([data[index]])["net_input"]
        source, target = sentence["src_tokens"], sentence["prev_output_tokens"]
        with torch.no_grad():
            x = model.encoder.embed(source) + model.encoder.embed_positions(source)
            encoded = model.encoder.stack(x, need_weights=(0, 1))
            y = model.decoder.embed(target) + model.decoder.embed_positions(target)
            decoded = model.decoder.stack(y, memory=encoded.state, causal=True, need_weights=(0, 1))
        for side, output in (("encoder", encoded), ("decoder", decoded)):
            weights = torch.stack([output.attn_weights[level]["self_attn"][0] for level in (0, 1)])
            index = torch.arange(weights.size(-1))
            sums[side] = sums[side] + (weights * (index[:, None] - index).abs()).sum((-1, -2))
            queries[side] += len(index)
    assert found["unit"] == "tokens" and found["examples"] == 10
    for side, own in found["models"][0]["sides"].items():
        torch.testing.assert_close(torch.tensor(own["distances"]), sums[side] / queries[side], atol=1e-4, rtol=0)
        assert own["queries"] == queries[side]
    assert out.startswith("mean attention distance in tokens, 10 sentences (self-attention, padding excluded)\n")


def test_one_side(inspected, toy, tmp_path):
    path = toy.run / "checkpoint_last.pt"
    arguments = ["--path", path, "--data", toy.data, "--subset", "valid", "--side", "decoder", "--examples", 4]
    found, _ = inspected("attention-distance", tmp_path / "y", *arguments)
    assert list(found["models"][0]["sides"]) == ["decoder"] and found["examples"] == 4
