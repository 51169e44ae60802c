from fairseq_ringformer.analysis.benchmark.profile import profile_run
from fairseq_ringformer.analysis.benchmark.translation.runner import HOSTS
from fairseq_ringformer.analysis.benchmark.translation.training import Training


def test_every_part_of_both_models_is_told_apart(contenders, task, samples):
    for contender in contenders:
        training = Training(contender, "cross_entropy", "cpu", seed=1)
        model, criterion = training.trainer.model, training.trainer.criterion
        training.run(samples[:1])
        hosts = [(criterion, "compute_loss", "softmax, loss"), *HOSTS]
        profile = profile_run(lambda: training.run(samples[:1]), hosts, model, "cpu")
        both = {
            "self-attention",
            "cross-attention",
            "feed-forward",
            "norms",
            "dropout",
            "embeddings",
            "output layer",
            "softmax, loss",
        }
        assert {part for part, (forward, backward) in profile.parts.items() if forward and backward} >= both
        assert ("level signals" in profile.parts) == contender.arch.startswith("ringformer")
        assert profile.parts["optimiser"][0] > 0
        # Nothing is watched any longer.
        watched = [vars(module).keys() & {"forward", "attend", "fold"} for module in model.modules()]
        assert not any(watched) and "compute_loss" not in vars(criterion)
