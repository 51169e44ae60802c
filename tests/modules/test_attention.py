import pytest
import torch
from torch import nn

from fairseq_ringformer.modules.attention import attend, attention_mask, merge_heads, split_heads
from fairseq_ringformer.modules.parts import CrossAttention, SelfAttention


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
def test_attention_agrees_with_torchs_own(cross, need_weights):
    torch.manual_seed(0)
    ours = CrossAttention(12, 12, bias=True) if cross else SelfAttention(12, bias=True)
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        packed = [ours.q_proj.weight, ours.kv_proj.weight] if cross else [ours.qkv_proj.weight]
        theirs.in_proj_weight.copy_(torch.cat(packed))
        theirs.out_proj.weight.copy_(ours.out_proj.weight)
    query = torch.randn(2, 5, 12)
    memory = torch.randn(2, 5, 12) if cross else query
    padding = torch.tensor([[False] * 5, [False, False, False, True, True]])
    expected, expected_weights = theirs(query, memory, memory, key_padding_mask=padding, average_attn_weights=False)
    if cross:
        heads = (*split_heads(ours.q_proj(query), 1, 3), *split_heads(ours.kv_proj(memory), 2, 3))
    else:
        heads = split_heads(ours.qkv_proj(query), 3, 3)
    out, weights = attend(*heads, attention_mask(memory, padding, False), False, nn.Dropout(0.0), need_weights)
    torch.testing.assert_close(ours.out_proj(merge_heads(out)), expected, atol=1e-5, rtol=1e-5)
    if need_weights:
        torch.testing.assert_close(weights, expected_weights, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("need_weights", [False, True])
def test_a_causal_mask_and_dropout(need_weights):
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 3, 6, 4).unbind()
    mask, dropout = attention_mask(query[:, 0], None, causal=True), nn.Dropout(0.5)
    out, weights = attend(query, key, value, mask, True, dropout.eval(), need_weights)
    torch.testing.assert_close(out[:, :, 0], value[:, :, 0])  # the first position sees itself alone
    if need_weights:
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 6))
        assert weights.triu(1).abs().max() == 0
    assert not torch.equal(attend(query, key, value, mask, True, dropout.train(), need_weights)[0], out)


def test_a_causal_mask_with_left_padding_has_no_empty_row():
    padding = torch.tensor([[True, True, False]])
    mask = attention_mask(torch.zeros(1, 3, 4), padding, causal=True)
    visible = (mask == 0)[0, 0]
    assert visible.tolist() == [[True, False, False], [False, True, False], [False, False, True]]
