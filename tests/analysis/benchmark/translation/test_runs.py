"""What the candidates do when they train, generate, and are written."""

import functools

import pytest
import torch

from fairseq_ringformer.analysis.benchmark.memory import saved_bytes, training_memory
from fairseq_ringformer.analysis.benchmark.peak import matmul_peak, step_multiply_adds
from fairseq_ringformer.analysis.benchmark.translation.candidates import choose
from fairseq_ringformer.analysis.benchmark.translation.generation import Generation
from fairseq_ringformer.analysis.benchmark.translation.training import PRECISIONS, Training, trainer_config
from fairseq_ringformer.analysis.benchmark.translation.workload import forced_length

from .conftest import FLAGS, VOCABULARY


@pytest.mark.parametrize("criterion", ("cross_entropy", "label_smoothed_cross_entropy"))
def test_training_updates_every_weight_once_per_batch(candidates, task, samples, criterion):
    for candidate in candidates:
        training = Training(candidate, criterion, "cpu", seed=1)
        before = {name: weight.clone() for name, weight in training.trainer.model.named_parameters()}
        training.run(samples)
        assert training.trainer.get_num_updates() == len(samples) == 2
        same = [n for n, w in training.trainer.model.named_parameters() if torch.equal(w, before[n])]
        # The gradient of softmax does not depend on the key projection's bias.
        assert not [name for name in same if not name.endswith("k_proj.bias")]


@pytest.mark.parametrize("precision", ("bf16", "fp16"))
def test_both_sides_generate_in_other_types(candidates, samples, precision):
    for candidate in candidates:
        generation = Generation(candidate, 2, "cpu", PRECISIONS[precision])
        assert {weight.dtype for weight in generation.model.parameters()} == {PRECISIONS[precision]}
        assert generation.run(samples) == [(forced_length(sample) + 1,) * 8 for sample in samples]


@pytest.mark.slow  # a compiler of C++: half a minute
def test_compiled_stacks_train_as_others_do(samples):
    plain, compiled = choose(
        "ringformer_tiny",
        "transformer",
        (*FLAGS, "--dropout", "0", "--activation-dropout", "0"),
        (),
        VOCABULARY,
        1,
        compiled=True,
    )[1:]
    assert compiled.name == "ringformer_tiny compiled" and not compiled.generates
    weights = []
    for candidate in (plain, compiled):
        training = Training(candidate, "cross_entropy", "cpu", 1)
        training.run(2 * samples)
        weights.append([weight.detach().clone() for weight in training.model.parameters()])
    for ours, theirs in zip(*weights):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("beam", (1, 3))
def test_all_generate_outputs_of_the_same_forced_length(candidates, task, samples, beam):
    expected = [(forced_length(sample) + 1,) * 8 for sample in samples]
    assert expected == [(5,) * 8, (8,) * 8]
    for candidate in candidates:
        assert Generation(candidate, beam, "cpu").run(samples) == expected


def test_multiply_adds_of_a_step_are_those_of_the_formula(tiny, task, samples):
    """fairseq's transformer: forward, and twice as much for the gradients of both factors of a product.

    Its self-attention is fused, and computes the weights again for its backward pass; its cross-attention is not.
    """
    stock = tiny("--dropout", "0", "--activation-dropout", "0")[0]
    training = Training(stock, "cross_entropy", "cpu", seed=1)
    batch, source, target, width, hidden = 8, 9, 8, 32, 48
    encoder = 2 * (4 * width**2 + 2 * width * hidden) * batch * source
    decoder = 3 * ((6 * width**2 + 2 * width * hidden) * batch * target + 2 * width**2 * batch * source)
    head = width * len(task.target_dictionary) * batch * target
    fused = (2 * source * source + 3 * target * target) * batch * width
    cross = 3 * target * source * batch * width
    expected = 3 * (encoder + decoder + head) + (2 + 5) * fused + (2 + 4) * cross
    assert step_multiply_adds(training, samples[1]) == expected


def test_counting_leaves_no_gradients(candidates, task, samples):
    training = Training(candidates[1], "cross_entropy", "cpu", seed=1)
    assert step_multiply_adds(training, samples[0]) > 0
    gradients = [weight.grad for weight in training.trainer.model.parameters()]
    assert all(gradient is None or not gradient.any() for gradient in gradients)


def test_a_products_peak_is_above_what_one_core_does_per_second_without_vectors():
    assert matmul_peak(torch.float32, "cpu", seconds=0.01) > 1e9


def test_checkpoint_bytes_are_those_of_the_parameters_and_a_little_more(candidates, task):
    vocabulary = 3 * len(task.target_dictionary) * 32
    for candidate in candidates:
        total, inner = candidate.parameters()
        assert total - inner == vocabulary
        assert 4 * total < saved_bytes(candidate.build().state_dict()) < 4 * total + 80_000


def memory(candidate, samples):
    prepare = functools.partial(trainer_config, "cross_entropy", "cpu", 1)
    begin = functools.partial(Training, candidate, "cross_entropy", "cpu", 1)
    return training_memory(prepare, begin, samples, "cpu", threads=1, steps=2)


@pytest.mark.slow
def test_training_memory_holds_weights_gradients_and_the_optimiser(tiny, samples):
    candidate = tiny(vocabulary=100_000)[1]
    use = memory(candidate, samples)
    floats = 4 * 3 * 100_000 * 32  # weights, gradients, two moments
    assert use.imports > 50e6 and use.peak - use.imports > 4 * floats
    # What this process holds does not count: a smaller model needs less, after this process has grown.
    ballast = torch.ones(300_000_000 // 4)
    small = memory(tiny()[1], samples)
    assert ballast.sum() > 0 and small.peak < use.peak - 2 * floats
