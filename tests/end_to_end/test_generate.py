"""fairseq-generate and fairseq-interactive: every way to search agrees with plain forward passes."""

import dataclasses
import itertools

import pytest
import torch

from tests.building import MODELS

LENGTHS = ("--max-len-b", "8")


def texts(found):
    return {number: [hypothesis.text for hypothesis in hypotheses] for number, hypotheses in found.items()}


def scores(found):
    return torch.tensor([hypothesis.score for hypotheses in found.values() for hypothesis in hypotheses])


def assert_same(left, right):
    assert texts(left) == texts(right)
    torch.testing.assert_close(scores(left), scores(right), rtol=0, atol=1e-4)


def assert_scores_are_forced(found, toy, models, task, forced):
    for number, hypotheses in found.items():
        for hypothesis in hypotheses:
            expected = forced(models, task, toy.lines("test", "de")[number], hypothesis.text)
            torch.testing.assert_close(torch.tensor(hypothesis.token_scores), expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("model", [MODELS[0], *(pytest.param(model, marks=pytest.mark.slow) for model in MODELS[1:])])
def test_generate_is_interactive_and_batched_is_single(model, fairseq, toy, trained):
    path = trained(model).last
    flags = ("--beam", "4", "--nbest", "2", *LENGTHS)
    batched = fairseq.generate(toy.data, path, "--batch-size", "8", *flags)
    assert list(batched) == list(range(16)) and len({best for best, _ in texts(batched).values()}) > 3
    assert_same(fairseq.generate(toy.data, path, "--batch-size", "1", *flags), batched)
    lines = toy.lines("test", "de")
    assert_same(fairseq.interactive(toy.data, path, lines, "--buffer-size", "16", "--batch-size", "8", *flags), batched)


@torch.no_grad()
def test_a_beam_of_one_takes_the_best_token_of_a_full_pass(fairseq, toy, trained, load):
    path = trained("ringformer").last
    found = fairseq.generate(toy.data, path, "--beam", "1", *LENGTHS)
    net, task = load(path)
    symbols = task.target_dictionary
    for number, line in enumerate(toy.lines("test", "de")):
        source = task.source_dictionary.encode_line(line, add_if_not_exist=False).long().unsqueeze(0)
        tokens, logs = [symbols.eos()], []
        while len(tokens) == 1 or tokens[-1] != symbols.eos():
            log_probabilities = net(source, None, torch.tensor([tokens]))[0][0, -1].log_softmax(-1)
            log_probabilities[symbols.pad()] = -torch.inf
            if len(tokens) == 1:
                log_probabilities[symbols.eos()] = -torch.inf  # --min-len 1
            best = symbols.eos() if len(tokens) > 8 else int(log_probabilities.argmax())
            tokens.append(best)
            logs.append(float(log_probabilities[best]))
        (hypothesis,) = found[number]
        assert hypothesis.text == symbols.string(tokens[1:])
        expected = torch.tensor(logs) / torch.tensor(2.0).log()
        torch.testing.assert_close(torch.tensor(hypothesis.token_scores), expected, rtol=0, atol=2e-4)


def test_an_early_exit_by_model_overrides(fairseq, toy, trained, load, forced):
    path = trained("ringformer").last
    found = fairseq.generate(toy.data, path, "--beam", "2", *LENGTHS, "--model-overrides", "{'exit_level': 1}")
    model, task = load(path)
    model.exit_at(1)
    assert_scores_are_forced(found, toy, [model], task, forced)


def test_nbest_is_distinct_sorted_and_scored_as_forced(fairseq, toy, trained, load, forced):
    path = trained("ringformer").last
    found = fairseq.generate(toy.data, path, "--beam", "4", "--nbest", "4", *LENGTHS)
    for hypotheses in found.values():
        assert len({hypothesis.text for hypothesis in hypotheses}) == 4
        ranked = [hypothesis.score for hypothesis in hypotheses]
        assert ranked == sorted(ranked, reverse=True)
        # A hypothesis scores the mean of its tokens: --lenpen 1.
        means = [sum(hypothesis.token_scores) / len(hypothesis.token_scores) for hypothesis in hypotheses]
        assert ranked == pytest.approx(means, abs=2e-4)
    model, task = load(path)
    assert_scores_are_forced(found, toy, [model], task, forced)


def test_sampling_follows_the_seed_and_the_model(fairseq, toy, trained, load, forced):
    path = trained("ringformer").last
    flags = ("--sampling", "--sampling-topk", "5", "--beam", "3", "--nbest", "3", *LENGTHS)
    found = fairseq.generate(toy.data, path, *flags, "--seed", "1")
    assert_same(fairseq.generate(toy.data, path, *flags, "--seed", "1"), found)
    assert texts(fairseq.generate(toy.data, path, *flags, "--seed", "2")) != texts(found)
    model, task = load(path)
    assert_scores_are_forced(found, toy, [model], task, forced)


def test_a_prefix_is_kept_and_continued_as_forced(fairseq, toy, trained, load, forced):
    path = trained("universal_transformer").last
    found = fairseq.generate(toy.data, path, "--prefix-size", "2", "--beam", "4", *LENGTHS)
    for number, (reference, (hypothesis,)) in enumerate(zip(toy.lines("test", "en"), found.values())):
        assert hypothesis.text.split()[:2] == reference.split()[:2], number
    model, task = load(path)
    assert_scores_are_forced(found, toy, [model], task, forced)


def test_reference_scores_are_the_forward_pass(fairseq, toy, trained, load, forced):
    path = trained("ringformer").last
    found = fairseq.generate(toy.data, path, "--score-reference")
    assert [text for (text,) in texts(found).values()] == toy.lines("test", "en")
    net, task = load(path)
    assert_scores_are_forced(found, toy, [net], task, forced)


@torch.no_grad()
def test_alignments_are_the_last_levels_cross_attention(fairseq, toy, trained, load):
    path = trained("ringformer").last
    flags = ("--beam", "3", *LENGTHS)
    hard = fairseq.generate(toy.data, path, *flags, "--print-alignment")
    soft = fairseq.generate(toy.data, path, *flags, "--print-alignment", "soft")
    assert_same(hard, fairseq.generate(toy.data, path, *flags))
    net, task = load(path)
    for number, line in enumerate(toy.lines("test", "de")):
        source = task.source_dictionary.encode_line(line, add_if_not_exist=False).long().unsqueeze(0)
        target = task.target_dictionary.encode_line(hard[number][0].text, add_if_not_exist=False).long().unsqueeze(0)
        _, extra = net(source, None, target.roll(1, dims=1), alignment_layer=1)
        attention = extra["attn"][0][0]  # target tokens and end, source tokens and end

        words = attention[:-1, :-1]
        pairs = [pair.split("-") for pair in hard[number][0].alignment.split()]
        assert [int(position) for _, position in pairs] == list(range(words.size(0)))
        chosen = torch.tensor([int(position) for position, _ in pairs])
        torch.testing.assert_close(words.gather(1, chosen.unsqueeze(1)).view(-1), words.amax(1), rtol=0, atol=1e-5)

        rows = [[float(weight) for weight in row.split(",")] for row in soft[number][0].alignment.split()]
        torch.testing.assert_close(torch.tensor(rows), attention, rtol=0, atol=1e-5)


def test_a_ring_that_learns_alignments_prints_those_of_fairseqs_transformer_align(fairseq, toy, tmp_path):
    from fairseq_ringformer.cli.main import main

    run = fairseq.train(toy.data, "--max-update", "20", "--disable-validation", "--alignment-layer", "0")
    folded = str(tmp_path / "folded.pt")
    assert main(["fold", "--path", run.last, "--output", folded]) == 0
    assert torch.load(folded, weights_only=True)["cfg"]["model"]["_name"] == "transformer_align"
    search = ("--beam", "2", "--print-alignment", *LENGTHS)
    ours, theirs = (fairseq.generate(toy.data, path, *search) for path in (run.last, folded))
    assert_same(ours, theirs)
    assert [best.alignment for best, *_ in ours.values()] == [best.alignment for best, *_ in theirs.values()]
    assert all(best.alignment for best, *_ in ours.values() if best.text)


def test_dropout_is_kept_on_request_only(fairseq, toy, trained):
    path = trained("ringformer").last
    flags = ("--score-reference",)
    plain = fairseq.generate(toy.data, path, *flags, "--seed", "1")
    assert torch.equal(scores(fairseq.generate(toy.data, path, *flags, "--seed", "2")), scores(plain))
    kept = [fairseq.generate(toy.data, path, *flags, "--retain-dropout", "--seed", seed) for seed in (1, 1, 2)]
    assert torch.equal(scores(kept[0]), scores(kept[1]))
    for left, right in itertools.combinations((plain, kept[0], kept[2]), 2):
        assert (scores(left) != scores(right)).all()
    # One side alone: the encoder's dropout is another than the decoder's.
    sides = [
        fairseq.generate(
            toy.data, path, *flags, "--retain-dropout", "--retain-dropout-modules", f'["{side}"]', "--seed", 1
        )
        for side in ("RingFormerEncoder", "RingFormerDecoder")
    ]
    for left, right in itertools.combinations((plain, kept[0], *sides), 2):
        assert (scores(left) != scores(right)).any()


def test_an_ensemble_averages_probabilities(fairseq, toy, trained, load, forced):
    paths = [trained("ringformer").last, trained("vanilla_transformer").last]
    loaded = [load(path) for path in paths]
    models, task = [model for model, _ in loaded], loaded[0][1]
    found = fairseq.generate(toy.data, ":".join(paths), "--beam", "3", *LENGTHS)
    assert_scores_are_forced(found, toy, models, task, forced)
    referenced = fairseq.generate(toy.data, ":".join(paths), "--score-reference")
    assert_scores_are_forced(referenced, toy, models, task, forced)


def test_model_overrides_reach_the_model(fairseq, toy, trained, load, forced):
    path = trained("ringformer").last
    overrides = "{'no_scale_embedding': True, 'activation_fn': 'relu'}"
    found = fairseq.generate(toy.data, path, "--beam", "2", *LENGTHS, "--model-overrides", overrides)
    model, task = load(path)
    for side in (model.encoder, model.decoder):
        side.embed_scale = 1.0
        side.stack.config = dataclasses.replace(side.stack.config, activation=torch.relu)
    assert_scores_are_forced(found, toy, [model], task, forced)


def test_from_pretrained_translates_as_generate(fairseq, toy, trained):
    from fairseq.models import MODEL_REGISTRY

    run = trained("ringformer")
    found = fairseq.generate(toy.data, run.last, "--beam", "3")
    hub = MODEL_REGISTRY["ringformer"].from_pretrained(
        str(run.folder),
        checkpoint_file="checkpoint_last.pt",
        data_name_or_path=str(toy.data),
        user_dir=fairseq.user_dir,
    )
    assert hub.translate(toy.lines("test", "de"), beam=3) == [text for (text,) in texts(found).values()]


def test_from_pretrained_aligns_if_asked_at_loading(fairseq, toy, trained):
    from fairseq.models import MODEL_REGISTRY

    run = trained("ringformer")
    hub = MODEL_REGISTRY["ringformer"].from_pretrained(
        str(run.folder),
        checkpoint_file="checkpoint_last.pt",
        data_name_or_path=str(toy.data),
        user_dir=fairseq.user_dir,
        print_alignment="hard",
    )
    source = hub.encode(toy.lines("test", "de")[0])
    found = hub.generate(source, beam=1)[0]
    aligned = [int(position) for _, position in found["alignment"]]
    assert len(aligned) == len(found["tokens"]) - 1 and all(0 <= position < len(source) for position in aligned)
