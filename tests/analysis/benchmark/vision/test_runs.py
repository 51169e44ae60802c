"""What the contenders do when they train and classify."""

import functools
from dataclasses import replace

import pytest
import torch

from fairseq_ringformer.analysis.benchmark.memory import training_memory
from fairseq_ringformer.analysis.benchmark.profile import profile_run
from fairseq_ringformer.analysis.benchmark.vision.contenders import choose
from fairseq_ringformer.analysis.benchmark.vision.runner import Benchmark, Settings
from fairseq_ringformer.analysis.benchmark.vision.training import Inference, Training, prepare_training, random_batches
from fairseq_ringformer.vision.registry import MODELS

NAME = "vit_ring_tiny_patch4_28"
BATCHES = random_batches(2, 3, (1, 28, 28), 10, seed=1)


@pytest.fixture(scope="module")
def contenders():
    return choose(NAME, "", seed=1, mixed_precision="bf16")


@pytest.fixture(scope="module")
def benchmark_of(contenders):
    """The benchmark with these settings: one thread, one round, batches of two images."""

    def benchmark_of(*measures, **settings):
        return Benchmark(contenders, Settings(measures, 1, images=2, batch_sizes=(2,), **settings))

    return benchmark_of


def test_batches_differ_and_are_the_same_again():
    again = random_batches(2, 3, (1, 28, 28), 10, seed=1)
    for (images, targets), (same_images, same_targets) in zip(BATCHES, again):
        assert torch.equal(images, same_images) and torch.equal(targets, same_targets)
        assert images.shape == (3, 1, 28, 28) and 0 <= targets.min() and targets.max() < 10
    assert not torch.equal(BATCHES[0][0], BATCHES[1][0])


def test_training_updates_every_weight_that_has_a_gradient(contenders):
    for contender in contenders[:3]:
        training = Training(contender, "cpu", seed=1)
        assert training.model.training
        before = {name: weight.detach().clone() for name, weight in training.model.named_parameters()}
        training.run(BATCHES)
        assert {state["step"].item() for state in training.optimizer.state.values()} == {2}
        same = {name for name, weight in training.model.named_parameters() if torch.equal(weight, before[name])}
        assert not same
        assert all(weight.grad is None for weight in training.model.parameters())


def test_bfloat16_products_of_float32_weights(contenders):
    training = Training(contenders[2], "cpu", seed=1)
    assert training.dtype == torch.bfloat16
    assert {weight.dtype for weight in training.model.parameters()} == {torch.float32}
    logits = Inference(contenders[2], "cpu").run(BATCHES[0][0], 1)
    exact = Inference(contenders[1], "cpu").run(BATCHES[0][0], 1)
    assert 0 < (logits - exact).abs().max() < 0.1


def test_folded_and_unfolded_classify_alike_and_learn_nothing(contenders):
    plain, folded = (Inference(contender, "cpu").run(BATCHES[0][0], 2) for contender in (contenders[1], contenders[3]))
    torch.testing.assert_close(plain, folded, atol=1e-5, rtol=1e-4)
    assert not plain.requires_grad


def test_all_measures_have_every_contender_that_they_are_for(benchmark_of, contenders, monkeypatch):
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
    names = [contender.name for contender in contenders]
    assert [result.contender for result in found["inference", "batch 2"]] == names
    assert [result.contender for result in found["training", "2 images a batch"]] == names[:3]
    for result in found["training", "2 images a batch"] + found["inference", "batch 2"]:
        assert result.value == pytest.approx(2 * 2 / result.seconds[0])
    stock, ours, _ = found["checkpoint", "without embeddings and head"]
    assert ours.ratio == ours.value / stock.value < 1 / 2


def test_a_ring_has_one_level_of_timms_and_the_signals(benchmark_of):
    (_, total, inner), (_, own_total, own_inner), *_ = benchmark_of("training").describe()
    width, hidden, levels = MODELS[NAME].embed_dim, MODELS[NAME].ffn_dim, MODELS[NAME].depth
    rank = width // 16
    block = 4 * width**2 + 2 * width * hidden + 5 * width + hidden
    norms = (2 * levels + 1) * 2 * width
    assert inner == levels * block + norms
    assert own_inner == block + norms + levels * 4 * 2 * rank * width
    # timm learns positions; ours are fixed.
    assert total - inner == own_total - own_inner + 50 * width


@pytest.mark.parametrize("cost, images, batch_sizes", ((1e8, 64, (256, 1)), (4e9, 16, (32, 1)), (5e10, 4, (32, 1))))
def test_a_round_is_as_large_as_the_model_allows(contenders, cost, images, batch_sizes):
    benchmark = Benchmark(contenders, Settings())
    benchmark.choose_amounts(replace(benchmark.task, multiply_adds=cost))
    assert (benchmark.images, benchmark.batch_sizes) == (images, batch_sizes)


def test_training_memory_counts_no_imports_and_shrinks_with_sharing(contenders):
    stock, ours = choose("vit_ring_768_l12_patch16_224", "", seed=1)[:2]
    batches = random_batches(1, 1, (3, 224, 224), 1000, seed=1)
    uses = [
        training_memory(prepare_training, functools.partial(Training, own, "cpu", 1), batches, "cpu", 1, steps=2)
        for own in (replace(stock, options={**stock.options, "depth": 2}), replace(ours, options={"depth": 2}))
    ]
    floats = 4 * 4 * 2 * 7_087_872  # weights, gradients, two moments of two levels
    assert uses[0].imports > 1e8 and uses[0].peak - uses[0].imports > floats
    assert uses[1].peak - uses[1].imports < uses[0].peak - uses[0].imports


def test_every_part_of_both_models_is_told_apart(contenders, benchmark_of):
    benchmark = benchmark_of("training")
    for contender in contenders[:2]:
        training = Training(contender, "cpu", seed=1)
        training.run(BATCHES[:1])
        hosts = benchmark.training_hosts(training)
        profile = profile_run(lambda: training.run(BATCHES[:1]), hosts, training.model, "cpu")
        both = {"self-attention", "feed-forward", "norms", "dropout", "embeddings", "output layer", "softmax, loss"}
        assert {part for part, (forward, backward) in profile.parts.items() if forward and backward} >= both
        assert ("level signals" in profile.parts) == (contender.arch == NAME)
        assert profile.parts["optimiser"][0] > 0 and profile.parts["clipping, scaling gradients"][0] > 0
        assert not any("forward" in vars(module) for module in training.model.modules())


def test_memory_on_the_device_running_out_is_said(contenders, monkeypatch):
    training = Training(contenders[0], "cpu", seed=1)

    def refuse(images):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(training.model, "forward", refuse)
    with pytest.raises(MemoryError, match="out of memory in training: lower --images"):
        training.run(BATCHES)
