import math

import pytest
import torch

from fairseq_ringformer.analysis.inspection.signal_report import SignalReport
from tests.building import batch, build
from tests.vision.models import images, small


def reported(model, *batches):
    report = SignalReport(model)
    for own in batches:
        report.add(own)
    return report


def text(model, **sizes):
    source, target = batch(model, **sizes)
    return {"src_tokens": source, "src_lengths": None, "prev_output_tokens": target}


def ratios_by_hand(model, own):
    """|M x| / |W x| (ffn: |M x| / |x|) of a pre-norm classifier, with the equations written out level by level."""
    stack = model.stack
    wide, d = stack.config, stack.config.embed_dim
    signals = {"attn": stack.signals_at("self_attn.qkv_proj").matrix(), "ffn": stack.signals_at("ffn.fc1").matrix()}
    found = {part: [] for part in ("q", "k", "v", "ffn")}
    states = stack(model.embed(own), return_states=True).states
    for level in range(stack.levels):
        attn, ffn = stack.self_attn.at(level), stack.ffn.at(level)
        x = states[level]
        read = stack.norms["self_attn"].at(level)(x)
        projections = []
        for number, part in enumerate("qkv"):
            weight, bias = (own.chunk(3)[number] for own in (attn.qkv_proj.weight, attn.qkv_proj.bias))
            plain, extra = read @ weight.T, read @ signals["attn"][level, number].T
            found[part].append(float(extra.norm() / plain.norm()))
            projections.append((plain + extra + bias).unflatten(-1, (wide.num_heads, -1)).transpose(1, 2))
        query, key, value = projections
        mixed = (query @ key.transpose(2, 3) * (d // wide.num_heads) ** -0.5).softmax(-1) @ value
        x = x + attn.out_proj(mixed.transpose(1, 2).flatten(2))
        read = stack.norms["ffn"].at(level)(x)
        extra = read @ signals["ffn"][level, 0].T
        found["ffn"].append(float(extra.norm() / read.norm()))
        x = x + ffn.fc2(torch.nn.functional.gelu(ffn.fc1(read + extra)))
        torch.testing.assert_close(x, states[level + 1], atol=1e-4, rtol=1e-4)
    return found


def test_ratios_of_a_classifier_by_hand():
    model = small("vit_ring_tiny_patch4_28")
    own = images(model, 4)
    with torch.no_grad():
        expected = ratios_by_hand(model, own)
        before = model(own)
    report = reported(model, {"images": own[:1]}, {"images": own[1:]})
    found = report.result()["encoder"]
    assert report.watches["encoder"].rows == 4 * 17 and list(found) == list("qkv") + ["ffn"]
    for part, values in expected.items():
        assert found[part].ratio == pytest.approx(values, rel=1e-4)
        assert found[part].against == ("x" if part == "ffn" else "W x")
    with torch.no_grad():
        assert torch.equal(model(own), before)  # nothing of the watching is left


def test_padding_changes_nothing():
    model = build("ringformer")
    padded = text(model)
    source, target = padded["src_tokens"], padded["prev_output_tokens"]
    apart = [
        {"src_tokens": source[:1, 2:], "src_lengths": None, "prev_output_tokens": target[:1]},
        {"src_tokens": source[1:], "src_lengths": None, "prev_output_tokens": target[1:]},
    ]
    together, single = reported(model, padded), reported(model, *apart)
    assert together.watches["encoder"].rows == 7 * 3 - 2 and list(together.result()) == ["encoder", "decoder"]
    for side, parts in together.result().items():
        for part, own in parts.items():
            assert own.ratio == pytest.approx(single.result()[side][part].ratio, rel=1e-4)


def test_matrices_made_by_hand():
    model = small("vit_ring_tiny_patch4_28", signal_rank=2)
    down, up = model.stack.signals_at("self_attn.qkv_proj").down, model.stack.signals_at("self_attn.qkv_proj").up
    with torch.no_grad():
        down.zero_(), up.zero_()
        # Levels 1 and 2: the same matrix of two equal singular values, turned round; level 3: another direction.
        for level, sign in ((0, 1.0), (1, -3.0)):
            down[level, 0, 0, 0] = down[level, 0, 1, 1] = 1
            up[level, 0, 0, 0] = up[level, 0, 1, 1] = sign
        down[2, 0, 0, 5] = up[2, 0, 7, 0] = 1
    own = reported(model, {"images": images(model)}).result()["encoder"]["q"]
    assert own.rank == pytest.approx([2, 2, 1]) and own.rank_limit == 2
    assert own.cosine[0] == pytest.approx([1, -1, 0]) and own.cosine[2] == pytest.approx([0, 0, 1])
    assert own.ratio[1] > 0
    zero = reported(model, {"images": images(model)}).result()["encoder"]["k"]
    assert zero.ratio == [0, 0, 0] and math.isnan(zero.cosine[0][1]) and math.isnan(zero.rank[0])


@pytest.mark.parametrize(
    "changes",
    [
        dict(signal="full-rank"),
        dict(signal="low-rank+diagonal"),
        dict(signal_input="state"),
        dict(attention_signal="before"),
        dict(ffn_signal="inter"),
        dict(attention_signal="none"),
        dict(self_attn_sharing="cycle:2", ffn_sharing="sequence:2"),
    ],
)
def test_every_kind_of_signal(changes):
    model = small("vit_ring_tiny_patch4_28", **changes)
    found = reported(model, {"images": images(model)}).result()["encoder"]
    assert ("q" in found) is (changes.get("attention_signal") != "none")
    for part, own in found.items():
        assert all(ratio > 0 for ratio in own.ratio) and all(1 <= rank <= own.rank_limit + 1e-6 for rank in own.rank)
    assert found["ffn"].against == ("W x" if changes.get("ffn_signal") == "inter" else "x")
    if "q" in found:
        assert found["q"].against == ("x" if changes.get("attention_signal") == "before" else "W x")


def test_shared_feed_forward_of_both_sides():
    model = build("ringformer", "--share-encoder-decoder-ffn")
    found = reported(model, text(model)).result()
    assert list(found["decoder"]) == list("qkv") + ["ffn"]


def test_models_without():
    from fairseq_ringformer.export.timm_vit import fold_classifier

    for model, reason in (
        (small("vit_vanilla_tiny_patch4_28"), "the model has no level signals"),
        (small("vit_universal_tiny_patch4_28"), "its signals are static"),
        (fold_classifier(small("vit_ring_tiny_patch4_28")), "a stock model has no level signals"),
        (build("vanilla_transformer"), "the model has no level signals"),
        (build("universal_transformer"), "its signals are static"),
    ):
        with pytest.raises(ValueError, match=reason):
            SignalReport(model)
    with pytest.raises(ValueError, match="there were no tokens to measure on"):
        SignalReport(small("vit_ring_tiny_patch4_28")).result()
