import pytest
import torch
from torch import nn

from fairseq_ringformer.modules import Attention, FeedForward, LowRankSignal
from fairseq_ringformer.modules.stack import attention_mask


def test_attention_agrees_with_torchs_own():
    torch.manual_seed(0)
    ours, theirs = Attention(12, 3, bias=True), nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.q_proj.weight, ours.k_proj.weight, ours.v_proj.weight]))
        theirs.out_proj.weight.copy_(ours.out_proj.weight)
    query, memory = torch.randn(2, 4, 12), torch.randn(2, 5, 12)
    padding = torch.tensor([[False] * 5, [False, False, False, True, True]])
    expected, expected_weights = theirs(query, memory, memory, key_padding_mask=padding, average_attn_weights=False)
    out, weights = ours.attend(ours.queries(query), *ours.keys_values(memory), attention_mask(memory, padding, False), True)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights, expected_weights, atol=1e-5, rtol=1e-5)


def test_weights_on_request_do_not_change_the_output():
    torch.manual_seed(0)
    attn, x = Attention(8, 2), torch.randn(2, 6, 8)
    mask = attention_mask(x, None, causal=True)
    states = (attn.queries(x), *attn.keys_values(x))
    fused, none = attn.attend(*states, mask)
    explicit, weights = attn.attend(*states, mask, need_weights=True)
    assert none is None
    torch.testing.assert_close(fused, explicit, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 6))
    assert weights.triu(1).abs().max() == 0


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="embed_dim 10 is not divisible by the number of attention heads, 4"):
        Attention(10, 4)


def test_attention_dropout_acts_in_training_only():
    attn, x = Attention(8, 2, dropout=nn.Dropout(0.5)), torch.randn(1, 6, 8)
    states = (attn.queries(x), *attn.keys_values(x))
    assert not torch.equal(attn.attend(*states)[0], attn.attend(*states)[0])
    attn.eval()
    assert torch.equal(attn.attend(*states)[0], attn.attend(*states)[0])


def test_a_causal_mask_with_left_padding_has_no_empty_row():
    padding = torch.tensor([[True, True, False]])
    mask = attention_mask(torch.zeros(1, 3, 4), padding, causal=True)
    visible = (mask == 0)[0, 0]
    assert visible.tolist() == [[True, False, False], [False, True, False], [False, False, True]]


def test_the_feed_forward_reads_x_with_its_signal():
    """Eq. 7: act((x + M x) W_up) W_down."""
    torch.manual_seed(0)
    ffn, signal, x = FeedForward(8, 16), LowRankSignal(8, 8, "before", 2), torch.randn(2, 9, 8)
    nn.init.normal_(signal.up)
    expected = nn.functional.gelu((x + x @ signal.matrix().T) @ ffn.fc1.weight.T) @ ffn.fc2.weight.T
    torch.testing.assert_close(ffn(x, signal), expected, atol=1e-5, rtol=1e-5)
