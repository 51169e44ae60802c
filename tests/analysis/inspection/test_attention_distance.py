import pytest
import torch

from fairseq_ringformer.analysis.inspection.attention_distance import (
    MeanDistance,
    patch_distances,
    patches_only,
    token_distances,
)
from fairseq_ringformer.analysis.inspection.examples import groups
from fairseq_ringformer.analysis.inspection.states import level_counts, trace
from tests.vision.models import images, small


def everywhere(length):
    return torch.ones(1, length, dtype=torch.bool)


def test_patches_lie_where_they_lie():
    distances = patch_distances((2, 3), (4, 10))
    # 0 1 2
    # 3 4 5
    assert distances[0].tolist() == pytest.approx([0, 10, 20, 4, 116**0.5, 416**0.5])
    assert torch.equal(distances, distances.T) and distances[3, 5] == 20


def test_hand_made_maps_of_an_image():
    """One level of three heads over a class token and 2 x 2 patches of 8 pixels."""
    weights = torch.zeros(1, 3, 5, 5)
    weights[0, 0] = torch.eye(5)  # each patch looks at itself
    weights[0, 1, 1:, 0] = 0.6  # most of it on the class token, the rest on the patch right above or below
    weights[0, 1, [1, 2, 3, 4], [3, 4, 1, 2]] = 0.4
    weights[0, 2] = 0.2  # everywhere
    mean = MeanDistance()
    mean.add([patches_only(weights, 1)], patch_distances((2, 2), (8, 8)), everywhere(4))
    uniform = (0 + 8 + 8 + 128**0.5) / 4
    assert mean.result() == [pytest.approx([0, 8, uniform])]
    assert mean.uniform() == pytest.approx(uniform) and mean.queries == 4


def test_hand_made_maps_of_a_sentence():
    weights = torch.zeros(1, 2, 4, 4)
    weights[0, 0, range(4), [0, 0, 1, 2]] = 1  # the token before
    weights[0, 1, :, 0] = 1  # the first token
    mean = MeanDistance(causal=True)
    mean.add([weights, weights.flip(1)], token_distances(4), everywhere(4))
    assert mean.result() == [pytest.approx([0.75, 1.5]), pytest.approx([1.5, 0.75])]
    assert mean.uniform() == pytest.approx((0 + 1 / 2 + 1 + 3 / 2) / 4)


@pytest.mark.parametrize("left", [True, False])
def test_padding_changes_nothing(left):
    torch.manual_seed(0)
    short, long = torch.rand(1, 2, 3, 3).softmax(-1), torch.rand(1, 2, 5, 5).softmax(-1)
    apart = MeanDistance()
    apart.add([short], token_distances(3), everywhere(3))
    apart.add([long], token_distances(5), everywhere(5))
    padded = torch.full((1, 2, 5, 5), 0.2)  # queries that are padding look anywhere
    tokens = slice(2, 5) if left else slice(0, 3)
    padded[..., tokens, :] = 0
    padded[..., tokens, tokens] = short
    present = torch.ones(2, 5, dtype=torch.bool)
    present[0] = False
    present[0, tokens] = True
    together = MeanDistance()
    together.add([torch.cat([padded, long])], token_distances(5), present)
    assert together.result() == [pytest.approx(apart.result()[0])]
    assert together.uniform() == pytest.approx(apart.uniform()) and together.queries == apart.queries == 8


def test_weights_of_every_level_of_a_classifier():
    model = small("vit_ring_tiny_patch4_28")
    found = trace(model, {"images": images(model)}, states=True, attn_weights=True)["encoder"]
    assert level_counts(model) == {"encoder": 3} and len(found.states) == 4 and len(found.attn_weights) == 3
    for level in found.attn_weights:
        assert level["self_attn"].shape == (2, 4, 17, 17)
        torch.testing.assert_close(level["self_attn"].sum(-1), torch.ones(2, 4, 17))


def test_timms_own_model_folded_from_the_ring_attends_alike():
    from fairseq_ringformer.export.timm_vit import fold_classifier

    ring = small("vit_ring_tiny_patch4_28")
    stock = fold_classifier(ring)
    batch = {"images": images(ring)}
    ours, theirs = (trace(model.eval(), batch, states=True, attn_weights=True)["encoder"] for model in (ring, stock))
    assert all(block.attn.fused_attn for block in stock.blocks)  # as it was before
    for own, other in zip(ours.attn_weights, theirs.attn_weights, strict=True):
        torch.testing.assert_close(own["self_attn"], other["self_attn"], atol=1e-5, rtol=1e-4)
    for own, other in zip(ours.states, theirs.states, strict=True):
        torch.testing.assert_close(own, other, atol=1e-4, rtol=1e-4)


def test_groups_stay_within_their_budget():
    lengths = [3, 3, 3, 9, 1, 1, 30, 2]
    cut = list(groups(lengths, 18))
    assert [index for group in cut for index in group] == list(range(8))
    assert cut == [[0, 1, 2], [3, 4], [5], [6], [7]]
    assert list(groups([2, 2, 2], 8, power=2)) == [[0, 1], [2]]
