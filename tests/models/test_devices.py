"""Every architecture keeps to one device. No GPU is needed: its tensors are fake."""

import itertools

import pytest
import torch

from fairseq_ringformer.export.fairseq_transformer import transformer_state
from fairseq_ringformer.export.folding import why_not_plain
from tests.building import ABLATIONS, batch, build
from tests.fake_cuda import devices, fake_cuda, meta
from tests.models.test_model import VARIANTS as ALL

# Every code path: places and kinds of signals, and of embeddings.
VARIANTS = ("ringformer", "one_wide_ffn", "full rank", "signals everywhere", "tied", "halting")


def model_and_batch(variant, device):
    arch, flags = {**ALL, **ABLATIONS}[variant]
    with torch.device(device):
        model = build(f"{arch}_tiny", *flags, "--encoder-layers", "2", "--decoder-layers", "2")
        return model, *batch(model, source_length=5, target_length=6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_a_search_and_folding_keep_to_one_device(variant, monkeypatch):
    with fake_cuda(monkeypatch) as answers:
        model, source, target = model_and_batch(variant, "cuda")
        for answers.flag in (True, False):  # padding, or none
            scores, _ = model.train()(source, None, target)
            assert devices([scores]) == {"cuda"}
        model.eval().decoder.make_generation_fast_(need_attn=True)
        assert devices(searched(model, source, target, answers)) == {"cuda"}
        if not any(why_not_plain(side.stack) for side in (model.encoder, model.decoder)) and not model.cfg.output_bias:
            assert devices(transformer_state(model).values()) == {"cuda"}


@torch.no_grad()
def searched(model, source, target, answers):
    """Scores and attention of the steps of a search with two beams."""
    order = torch.arange(2 * len(source), device=source.device) // 2
    answers.flag, answers.equal = True, itertools.repeat(True)
    encoder_out = model.encoder.reorder_encoder_out(model.encoder(source), order)
    state, target = {}, target.index_select(0, order)
    # Reordered, nothing moves; a sentence is done; beams part from those of their sentence.
    for step, (rows, equal) in enumerate(((6, [True]), (4, [True]), (4, [False])), start=1):
        scores, extra = model.decoder(target[:, :step], encoder_out, state)
        yield from (scores, *extra["attn"])
        order, answers.equal = torch.arange(rows, device=source.device), itertools.cycle(equal)
        model.decoder.reorder_incremental_state_scripting(state, order)
        encoder_out = model.encoder.reorder_encoder_out(encoder_out, order)
        target = target.index_select(0, order)
    yield model.decoder(target, encoder_out, state)[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_are_where_their_parameters_are(variant, monkeypatch):
    with meta(monkeypatch):
        model, source, target = model_and_batch(variant, "meta")
        scores, _ = model.train()(source, None, target)
        scores.log_softmax(-1).sum().backward()
    assert devices(parameter.grad for parameter in model.parameters()) == {"meta"}
