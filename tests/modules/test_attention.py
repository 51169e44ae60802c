import pytest
import torch
from torch import nn

from fairseq_ringformer.modules import CrossAttention, SelfAttention, attend, attention, attention_mask
from fairseq_ringformer.modules.attention import causal_mask, merge_heads, split_heads

MASK = torch.zeros(1)
MASKS = ("none", "causal", "padding", "both")


def states(length=6, source=6, dtype=torch.float32):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, n, 4, dtype=dtype) for n in (length, source, source))
    return [tensor.requires_grad_() for tensor in (query, key, value)]


def mask_of(kind, like):
    padding = torch.tensor([[False] * 6, [True] + [False] * 5]) if kind in ("padding", "both") else None
    if kind == "causal":
        return causal_mask(6, like), True
    return attention_mask(torch.zeros(2, 6, 12, dtype=like.dtype), padding, kind == "both"), False


@pytest.mark.parametrize("cross", [False, True])
def test_attention_agrees_with_torchs_own(cross):
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
        split = (*split_heads(ours.q_proj(query), 1, 3), *split_heads(ours.kv_proj(memory), 2, 3))
    else:
        split = split_heads(ours.qkv_proj(query), 3, 3)
    out, weights = attend(*split, attention_mask(memory, padding, False), need_weights=True)
    torch.testing.assert_close(ours.out_proj(merge_heads(out)), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights, expected_weights, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_the_fused_kernel_and_the_two_products_agree(kind, dtype, tolerance, monkeypatch):
    """Outputs and gradients, whichever of the two the number of keys chooses."""
    results = []
    for fused in (False, True):
        monkeypatch.setattr(attention, "_fused_is_quicker", lambda query, key, mask: fused)
        split = states(dtype=dtype)
        mask, causal = mask_of(kind, split[0])
        out, weights = attend(*split, mask, causal)
        assert weights is None
        out.float().square().sum().backward()
        results.append([out, *(tensor.grad for tensor in split)])
    torch.testing.assert_close(*results, atol=tolerance, rtol=tolerance)


def test_the_number_of_keys_chooses_and_tracing_does_not():
    def chosen(keys, dtype=torch.float32, mask=MASK):
        query, key = torch.zeros(1, 1, 1, 4, dtype=dtype), torch.zeros(1, 1, keys, 4, dtype=dtype)
        return attention._fused_is_quicker(query, key, mask)

    with torch.no_grad():
        assert chosen(attention.SHORT)  # the two products pay in training only
    assert not chosen(attention.SHORT) and chosen(attention.SHORT + 1) and chosen(attention.SHORT, mask=None)
    assert not chosen(attention.SHORT_BFLOAT16, torch.bfloat16) and chosen(attention.SHORT_BFLOAT16 + 1, torch.bfloat16)
    traced = torch.jit.trace(lambda q, k, v: attend(q, k, v)[0], tuple(state.detach() for state in states()))
    assert "scaled_dot_product_attention" in str(traced.graph)


def test_weights_on_request_do_not_change_the_output():
    split = states()
    mask, causal = mask_of("causal", split[0])
    plain, none = attend(*split, mask, causal)
    same, weights = attend(*split, mask, causal, need_weights=True)
    assert none is None
    torch.testing.assert_close(plain, same, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 6))
    assert weights.triu(1).abs().max() == 0


def test_attention_dropout_acts_in_training_only():
    split, dropout = states(), nn.Dropout(0.5)
    assert not torch.equal(attend(*split, dropout=dropout)[0], attend(*split, dropout=dropout)[0])
    dropout.eval()
    assert torch.equal(attend(*split, dropout=dropout)[0], attend(*split)[0])


def test_a_causal_mask_with_left_padding_has_no_empty_row():
    padding = torch.tensor([[True, True, False]])
    mask = attention_mask(torch.zeros(1, 3, 4), padding, causal=True)
    visible = (mask == 0)[0, 0]
    assert visible.tolist() == [[True, False, False], [False, True, False], [False, False, True]]
