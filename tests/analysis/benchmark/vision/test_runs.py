"""What the candidates do when they train and classify."""

import functools
from dataclasses import replace

import pytest
import torch

from fairseq_ringformer.analysis.benchmark.memory import training_memory
from fairseq_ringformer.analysis.benchmark.report import show
from fairseq_ringformer.analysis.benchmark.vision.candidates import choose
from fairseq_ringformer.analysis.benchmark.vision.runner import Benchmark, Settings
from fairseq_ringformer.analysis.benchmark.vision.training import Inference, Training, prepare_training, random_batches
from fairseq_ringformer.vision import RingClassifier
from fairseq_ringformer.vision.registry import MODELS

NAME = "vit_ring_tiny_patch4_28"
BATCHES = random_batches(2, 3, (1, 28, 28), 10, seed=1)


@pytest.fixture(scope="module")
def candidates():
    return choose(NAME, "", seed=1, mixed_precision="bf16")


@pytest.fixture(scope="module")
def benchmark_of(candidates):
    """The benchmark with these settings: one thread, one round, batches of two images."""

    def benchmark_of(*measures, **settings):
        return Benchmark(candidates, Settings(measures, 1, images=2, batch_sizes=(2,), **settings))

    return benchmark_of


def test_batches_differ_and_are_the_same_again():
    again = random_batches(2, 3, (1, 28, 28), 10, seed=1)
    for (images, targets), (same_images, same_targets) in zip(BATCHES, again):
        assert torch.equal(images, same_images) and torch.equal(targets, same_targets)
        assert images.shape == (3, 1, 28, 28) and 0 <= targets.min() and targets.max() < 10
    assert not torch.equal(BATCHES[0][0], BATCHES[1][0])


def test_training_updates_every_weight_that_has_a_gradient(candidates):
    for candidate in candidates[:3]:
        training = Training(candidate, "cpu", seed=1)
        assert training.model.training
        before = {name: weight.detach().clone() for name, weight in training.model.named_parameters()}
        training.run(BATCHES)
        assert {state["step"].item() for state in training.optimizer.state.values()} == {2}
        same = {name for name, weight in training.model.named_parameters() if torch.equal(weight, before[name])}
        assert not same
        assert all(weight.grad is None for weight in training.model.parameters())


def test_bfloat16_products_of_float32_weights(candidates):
    training = Training(candidates[2], "cpu", seed=1)
    assert training.dtype == torch.bfloat16
    assert {weight.dtype for weight in training.model.parameters()} == {torch.float32}
    logits = Inference(candidates[2], "cpu").run(BATCHES[0][0], 1)
    exact = Inference(candidates[1], "cpu").run(BATCHES[0][0], 1)
    assert 0 < (logits - exact).abs().max() < 0.1


def test_folded_and_unfolded_classify_alike_and_learn_nothing(candidates):
    plain, folded = (Inference(candidate, "cpu").run(BATCHES[0][0], 2) for candidate in (candidates[1], candidates[3]))
    torch.testing.assert_close(plain, folded, atol=1e-5, rtol=1e-4)
    assert not plain.requires_grad


def test_all_measures_have_every_candidate_that_they_are_for(benchmark_of, candidates, monkeypatch):
    for most in ("STEPS", "CALLS"):
        monkeypatch.setattr(f"fairseq_ringformer.analysis.benchmark.vision.runner.{most}", 2)
    results = benchmark_of("inference", "checkpoint", "training").run()
    found = {}
    for result in results:
        found.setdefault((result.measure, result.setting), []).append(result)
    # In the benchmark's order, not the user's.
    assert list(found) == [
        ("training", "2 images a batch"),
        ("peak share", "training, of float32 products"),
        ("peak share", "training, of bfloat16 products"),
        ("inference", "batch 2"),
        ("checkpoint", "whole"),
        ("checkpoint", "without embeddings and head"),
    ]
    names = [candidate.name for candidate in candidates]
    assert [result.candidate for result in found["inference", "batch 2"]] == names
    assert [result.candidate for result in found["training", "2 images a batch"]] == names[:3]
    for result in found["training", "2 images a batch"] + found["inference", "batch 2"]:
        assert result.value == pytest.approx(2 * 2 / result.seconds[0])
    stock, ours, _ = found["checkpoint", "without embeddings and head"]
    assert ours.ratio == ours.value / stock.value < 1 / 2


def test_a_ring_has_one_level_of_timms_and_the_signals(candidates):
    (total, inner), (own_total, own_inner) = (candidate.parameters() for candidate in candidates[:2])
    width, hidden, levels = MODELS[NAME].embed_dim, MODELS[NAME].ffn_dim, MODELS[NAME].depth
    rank = width // 16
    block = 4 * width**2 + 2 * width * hidden + 5 * width + hidden
    norms = (2 * levels + 1) * 2 * width
    assert inner == levels * block + norms
    assert own_inner == block + norms + levels * 4 * 2 * rank * width
    # timm learns positions; ours are fixed.
    assert total - inner == own_total - own_inner + 50 * width


@pytest.mark.parametrize("cost, images, batch_sizes", ((1e8, 64, (256, 1)), (4e9, 16, (32, 1)), (5e10, 4, (32, 1))))
def test_a_round_is_as_large_as_the_model_allows(candidates, cost, images, batch_sizes):
    benchmark = Benchmark(candidates, Settings())
    benchmark.choose_amounts(replace(benchmark.task, multiply_adds=cost))
    assert (benchmark.images, benchmark.batch_sizes) == (images, batch_sizes)


@pytest.mark.slow
def test_training_memory_counts_no_imports_and_shrinks_with_sharing(candidates):
    stock, ours = choose("vit_ring_768_l12_patch16_224", "", seed=1)[:2]
    batches = random_batches(1, 1, (3, 224, 224), 1000, seed=1)
    uses = [
        training_memory(prepare_training, functools.partial(Training, own, "cpu", 1), batches, "cpu", 1, steps=2)
        for own in (replace(stock, options={**stock.options, "depth": 2}), replace(ours, options={"depth": 2}))
    ]
    floats = 4 * 4 * 2 * 7_087_872  # weights, gradients, two moments of two levels
    assert uses[0].imports > 1e8 and uses[0].peak - uses[0].imports > floats
    assert uses[1].peak - uses[1].imports < uses[0].peak - uses[0].imports


def test_inference_is_prepared_where_the_model_can_be(candidates, benchmark_of, monkeypatch):
    def reparameterize(model):
        model.told = True

    monkeypatch.setattr(RingClassifier, "reparameterize", reparameterize, raising=False)
    stock, ours = (Inference(candidate, "cpu") for candidate in candidates[:2])
    assert (stock.prepared, ours.prepared) == (False, True) and ours.model.told
    monkeypatch.setattr("fairseq_ringformer.analysis.benchmark.vision.runner.CALLS", 1)
    results = benchmark_of("inference").run()
    assert [result.extra["prepared"] for result in results] == [False, True, True, False]
    assert [show(result).endswith(", prepared") for result in results] == [False, True, True, False]


def test_memory_on_the_device_running_out_is_said(candidates, monkeypatch):
    training = Training(candidates[0], "cpu", seed=1)

    def refuse(images):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(training.model, "forward", refuse)
    with pytest.raises(MemoryError, match="out of memory in training: lower --images"):
        training.run(BATCHES)
