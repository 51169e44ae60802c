"""Translation models on a GPU compute what they compute on the CPU, in every type that fairseq trains them in."""

import argparse

import numpy
import pytest
import torch
import torch.nn.functional as F
from fairseq.models import build_model
from fairseq.sequence_generator import SequenceGenerator
from fairseq.tasks.translation import TranslationTask
from omegaconf import OmegaConf

from fairseq_ringformer._fairseq import quiet
from fairseq_ringformer.analysis.benchmark.translation.candidates import choose
from fairseq_ringformer.analysis.benchmark.translation.training import PRECISIONS, Training
from fairseq_ringformer.analysis.benchmark.translation.workload import training_batches
from fairseq_ringformer.export.fairseq_transformer import transformer_options, transformer_state
from fairseq_ringformer.export.folding import why_not_plain
from tests.building import ABLATIONS, MODELS, SMALL_SIZE, batch, build
from tests.gpu.device import DEVICE, KINDS, assert_gradients_near, assert_near, on_gpu
from tests.models.test_model import VARIANTS as ALL

pytestmark = on_gpu
SAME = ("ours", "static signal")  # as two of MODELS
MORE = ("pre-norm", "tied", "unequal sides", "signals everywhere")
VARIANTS = {
    **{name: ALL[name] for name in (*MODELS, *MORE)},
    **{name: form for name, form in ABLATIONS.items() if name not in SAME},
    "universal, pre-norm": ("universal_transformer", ("--encoder-normalize-before", "--decoder-normalize-before")),
}
NO_DROPOUT = ("--dropout", "0", "--activation-dropout", "0")


@pytest.fixture(params=VARIANTS)
def reference(request):
    """On the CPU, in float32."""
    arch, flags = VARIANTS[request.param]
    return build(f"{arch}_tiny", *flags, *NO_DROPOUT)


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@torch.no_grad()
def test_the_forward_pass(reference, kind):
    model, (source, target) = kind.copy(reference), batch(reference)
    with kind.context():
        found, _ = model(source.to(DEVICE), None, target.to(DEVICE))
    assert_near(found, reference(source, None, target)[0], kind.tolerance)


@torch.no_grad()
def test_steps_with_reordered_beams_are_the_whole_pass(reference, kind):
    """Of weights that are prepared, too: the second time."""
    model, (source, target) = kind.copy(reference), batch(reference)
    order = torch.tensor([0, 0, 1, 1, 2, 2])
    source, target = source.to(DEVICE), target[order]
    for _ in range(2):
        # Beams swap within their sentences, then the first sentence is done.
        rows, alive = torch.arange(6), order
        with kind.context():
            encoder_out = model.encoder.reorder_encoder_out(model.encoder(source), alive.to(DEVICE))
            state = {}
            for step, moved in enumerate(([0, 1, 2, 3, 4, 5], [1, 0, 2, 2, 5, 4], [2, 3, 4, 5], [0, 1, 3, 3]), start=1):
                moved = torch.tensor(moved)
                if step > 1:
                    rows, alive = rows[moved], alive[moved]
                    model.decoder.reorder_incremental_state_scripting(state, moved.to(DEVICE))
                    encoder_out = model.encoder.reorder_encoder_out(encoder_out, moved.to(DEVICE))
                scores, _ = model.decoder(target[rows, :step].to(DEVICE), encoder_out, state)
        expected, _ = reference(source.cpu()[alive], None, target[rows, :step])
        assert_near(scores[:, 0], expected[:, -1], kind.tolerance)
        model.reparameterize()


@torch.no_grad()
def test_generated_sentences_have_the_scores_that_the_cpu_gives_them(reference, kind):
    model, (source, _) = kind.copy(reference), batch(reference)
    dictionary, beam = reference.decoder.dictionary, 3
    cfg = argparse.Namespace(generation=argparse.Namespace(beam=beam, print_alignment=False))
    model.prepare_for_inference_(cfg)

    def search(searched, device):
        generator = SequenceGenerator([searched], dictionary, beam_size=beam, max_len_a=0, max_len_b=12)
        tokens = source.to(device)
        return generator.generate([searched], {"net_input": {"src_tokens": tokens, "src_lengths": tokens.ne(1).sum(1)}})

    with kind.context():
        found = search(model, DEVICE)
    for row, hypotheses in enumerate(found):
        assert len(hypotheses) == beam
        for hypothesis in hypotheses:
            tokens = hypothesis["tokens"].cpu()
            previous = torch.cat([tokens.new_tensor([dictionary.eos()]), tokens[:-1]])
            scores = reference(source[row : row + 1], None, previous[None])[0][0].log_softmax(-1)
            expected = scores.gather(1, tokens[:, None])[:, 0]
            assert_near(hypothesis["positional_scores"], expected, 2 * kind.tolerance)
    if kind.dtype == torch.float32 and kind.amp is None and kind.autocast == "none":
        for ours, theirs in zip(found, search(reference, "cpu")):
            assert ours[0]["score"].item() == pytest.approx(theirs[0]["score"].item(), abs=1e-4)


def test_the_loss_and_its_gradients(reference, kind):
    model, (source, target) = kind.copy(reference), batch(reference)

    def step(trained, device):
        tokens = target.to(device)
        scores, _ = trained.train()(source.to(device), None, tokens[:, :-1])
        loss = F.cross_entropy(scores.float().flatten(0, 1), tokens[:, 1:].flatten())
        # As fairseq's --fp16 does: gradients would be too small for float16.
        (128 * loss).backward()
        return loss

    expected = step(reference, "cpu")
    with kind.context():
        loss = step(model, DEVICE)
    assert_near(loss, expected.detach(), kind.tolerance)
    assert_gradients_near(model, reference, 5 * kind.tolerance)


@torch.no_grad()
def test_folded_it_is_fairseqs_transformer(reference, kind):
    if any(why_not_plain(side.stack) for side in (reference.encoder, reference.decoder)) or reference.cfg.output_bias:
        pytest.skip("does not fold")
    on_device = reference.to(DEVICE)
    cfg = OmegaConf.create(transformer_options(on_device))
    symbols = reference.encoder.dictionary
    task = TranslationTask(argparse.Namespace(eval_bleu=False), symbols, symbols)
    stock = build_model(cfg, task, from_checkpoint=True)
    weights = transformer_state(on_device)
    assert {weight.device.type for weight in weights.values()} == {DEVICE}
    stock.load_state_dict(weights, strict=True, model_cfg=cfg)
    source, target = batch(reference)
    expected, _ = reference.cpu()(source, None, target)
    stock = stock.to(DEVICE, kind.dtype).eval()
    with kind.context():
        assert_near(stock(source.to(DEVICE), None, target.to(DEVICE))[0], expected, 2 * kind.tolerance)


def trained(arch, precision, scale=None):
    """fairseq's Trainer after some updates, and the parameters that its optimizer began with."""
    if DEVICE == "cpu" and precision != "float32":
        pytest.skip("fairseq trains in it on GPUs alone")
    with quiet():
        candidate = choose("ringformer_tiny", arch, SMALL_SIZE, (), vocabulary=60, seed=1)[0]
        training = Training(candidate, "cross_entropy", DEVICE, 1, precision)
        lengths = numpy.array([(7, 5)] * 8 + [(9, 8)] * 8)
        samples = training_batches(lengths, candidate.task().target_dictionary, 72, 2, 60, 1)
        before = [parameter.detach().clone() for parameter in training.trainer.optimizer.params]
        if scale is not None:
            training.trainer.optimizer.scaler.loss_scale = scale
        training.run(4 * samples)
    return training.trainer, before


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("arch", ["transformer", *MODELS])
def test_fairseqs_trainer_updates_the_weights(arch, precision):
    trainer, before = trained(arch, precision)
    after = list(trainer.optimizer.params)
    assert {parameter.device.type for parameter in after} == {DEVICE}
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {PRECISIONS[precision]}
    assert all(parameter.isfinite().all() for parameter in after)
    # Not the biases of stock keys, which the softmax does not see.
    assert sum(not torch.equal(*pair) for pair in zip(after, before)) > 0.8 * len(after)


def test_an_update_that_fp16_skips_is_not_out_of_memory():
    trainer, _ = trained("ringformer", "fp16", scale=2.0**30)
    assert trainer.optimizer.scaler.loss_scale < 2.0**30


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("arch", ["ringformer", "vanilla_transformer"])
def test_compiled_stacks(arch, dtype):
    """The default compiler, once for batches of all lengths."""
    torch.compiler.reset()
    model = build(f"{arch}_tiny", *NO_DROPOUT).to(DEVICE, dtype).train()
    expected, found = [], []
    for outputs in (expected, found):
        for length in (7, 11):
            source, target = batch(model, source_length=length, target_length=length + 2)
            scores, _ = model(source.to(DEVICE), None, target.to(DEVICE))
            model.zero_grad()
            scores.float().log_softmax(-1)[..., 5].sum().backward()
            outputs += [scores.detach(), *(parameter.grad.clone() for parameter in model.parameters())]
        for side in (model.encoder, model.decoder):
            side.stack.compile(dynamic=True)
    for ours, plain in zip(found, expected):
        assert_near(ours, plain.cpu().float(), 1e-4 if dtype == torch.float32 else 6e-2)
