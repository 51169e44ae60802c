"""What the criteria add to the loss, against the same by hand."""

import argparse
import math

import pytest
import torch
import torch.nn.functional as F
from fairseq.logging import metrics

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.models.criteria import ExitsConfig, ExitsCriterion, PonderConfig, PonderCriterion
from tests.building import batch, build


def sample_of(model, seed: int = 2):
    source, previous = batch(model, seed=seed)
    target = torch.roll(previous, -1, dims=1)
    target[1, 5:] = model.decoder.dictionary.pad()
    tokens = int(target.ne(model.decoder.dictionary.pad()).sum())
    net_input = {"src_tokens": source, "src_lengths": None, "prev_output_tokens": previous}
    return {"net_input": net_input, "target": target, "ntokens": tokens}


def criterion_of(config, model, **options):
    """As fairseq builds it from its flags."""
    task = argparse.Namespace(target_dictionary=model.decoder.dictionary)
    kind = PonderCriterion if config is PonderConfig else ExitsCriterion
    return kind.build_criterion(config(**{"sentence_avg": False, "label_smoothing": 0.1, **options}), task)


def reduced(criterion, log) -> dict:
    with metrics.aggregate() as found:
        type(criterion).reduce_metrics([log, log])
    return found.get_smoothed_values()


def plain_loss(model, sample) -> torch.Tensor:
    scores, _ = model(**sample["net_input"])
    return cross_entropy(scores, sample)


def cross_entropy(scores, sample, label_smoothing: float = 0.1) -> torch.Tensor:
    """fairseq spreads the smoothing over the other symbols, torch over all."""
    size = scores.size(-1)
    lprobs = scores.log_softmax(-1)[sample["target"].ne(1)]
    target = sample["target"][sample["target"].ne(1)]
    others = label_smoothing / (size - 1)
    truth = F.one_hot(target, size) * (1 - label_smoothing - others) + others
    return -(truth * lprobs).sum()


@pytest.mark.parametrize("sentence_avg", [False, True])
def test_the_ponder_cost_is_the_mean_of_steps_and_remainder(sentence_avg):
    model = build("universal_transformer_act_tiny", "--dropout", "0", "--activation-dropout", "0")
    sample = sample_of(model)
    criterion = criterion_of(PonderConfig, model, ponder_weight=0.5, sentence_avg=sentence_avg)
    encoder_out = model.encoder(sample["net_input"]["src_tokens"])
    _, extra = model(**sample["net_input"])
    present = {"encoder": sample["net_input"]["src_tokens"].ne(1), "decoder": sample["target"].ne(1)}
    cost = steps = 0.0
    for side, halting in (("encoder", encoder_out["halting"]), ("decoder", extra["halting"]["decoder"])):
        cost += (halting[0] + halting[1])[present[side]].mean()
        steps = halting[0][present[side]].mean()
    loss, size, log = criterion.train()(model.train(), sample)
    torch.testing.assert_close(loss, plain_loss(model, sample) + 0.5 * sample["ntokens"] * cost)
    assert size == (3 if sentence_avg else sample["ntokens"])
    torch.testing.assert_close(criterion.eval()(model, sample)[0], plain_loss(model, sample))
    assert reduced(criterion, log)["decoder_steps"] == pytest.approx(float(steps), abs=1e-3)
    loss.backward()
    assert model.encoder.stack.halting_unit.weight.grad.abs().max() > 0


@pytest.mark.parametrize("levels, learnt", [("", (1, 2)), ("2", (2,))])
@pytest.mark.parametrize("norm", [(), ("--decoder-normalize-before",)])
def test_levels_before_the_last_learn_what_they_would_say(levels, learnt, norm):
    model = build("ringformer_tiny", "--dropout", "0", "--activation-dropout", "0", *norm)
    sample = sample_of(model)
    criterion = criterion_of(ExitsConfig, model, exit_levels=levels, exit_weight=0.25, exit_distillation=False)
    losses, bits = [], {}
    for level in learnt:
        early = build("ringformer_tiny", *norm, "--exit-level", str(level), seed=7)
        early.load_state_dict(model.state_dict())
        scores, _ = early(**sample["net_input"])
        losses.append(cross_entropy(scores, sample))
        bits[f"nll_loss_{level}"] = float(cross_entropy(scores, sample, 0.0).detach()) / sample["ntokens"] / math.log(2)
    loss, _, log = criterion.train()(model.train(), sample)
    torch.testing.assert_close(loss, plain_loss(model, sample) + 0.25 * torch.stack(losses).mean())
    torch.testing.assert_close(criterion.eval()(model, sample)[0], plain_loss(model, sample))
    found = reduced(criterion, log)
    assert {name: found[name] for name in found if name.startswith("nll_loss_")} == pytest.approx(bits, abs=1e-3)


def test_distilled_exits_learn_from_the_last_level_and_do_not_teach_it():
    model = build("ringformer_tiny", "--dropout", "0", "--activation-dropout", "0", "--share-all-embeddings")
    sample = sample_of(model)
    criterion = criterion_of(ExitsConfig, model, exit_levels="1", exit_weight=1.0, exit_distillation=True)
    scores, extra = model(**sample["net_input"], exit_levels=(1,))
    present = sample["target"].ne(1)
    taught = (scores.softmax(-1).detach() * extra["exit_scores"][1].log_softmax(-1))[present].sum()
    loss, _, _ = criterion.train()(model.train(), sample)
    torch.testing.assert_close(loss, plain_loss(model, sample) - taught)


@pytest.mark.parametrize(
    "arch, kind, options, message",
    [
        ("ringformer", PonderConfig, {"ponder_weight": 0.01}, "is for models that halt by themselves, such as"),
        (
            "universal_transformer_act_tiny",
            ExitsConfig,
            {"exit_levels": "", "exit_weight": 1.0, "exit_distillation": False},
            "is for models of which every level runs, not for those that halt",
        ),
        *(
            ("ringformer", ExitsConfig, {"exit_levels": levels, "exit_weight": 1.0, "exit_distillation": True}, message)
            for levels, message in (
                ("3", "--exit-levels 3: the decoder has levels 1 to 2 before its last one"),
                ("0,1", "--exit-levels 0,1: the decoder has levels 1 to 2"),
                ("1;2", "--exit-levels 1;2: give numbers with commas between them"),
            )
        ),
    ],
)
def test_criteria_that_a_model_has_nothing_for(arch, kind, options, message):
    model = build(arch)
    with pytest.raises(UserError, match=message):
        criterion_of(kind, model, **options)(model, sample_of(model))
