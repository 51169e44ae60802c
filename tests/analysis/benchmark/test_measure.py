import itertools

import pytest

from fairseq_ringformer.analysis.benchmark.measure import interleave, sizes, speeds, turns


def test_two_candidates_alternate_who_goes_first():
    assert turns(2, 4) == [[0, 1], [1, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize("candidates", (1, 2, 3, 4, 5))
def test_every_round_has_everybody_once_and_everybody_goes_first_equally_often(candidates):
    orders = turns(candidates, 2 * candidates)
    assert all(sorted(order) == list(range(candidates)) for order in orders)
    assert sorted(order[0] for order in orders) == sorted(2 * list(range(candidates)))


def test_nobody_always_follows_the_same_one():
    for candidates in (3, 4):
        pairs = [pair for order in turns(candidates, 2 * candidates) for pair in itertools.pairwise(order)]
        assert len({before for before, after in pairs if after == 0}) > 1


def test_work_is_timed_in_turn_and_the_warm_up_is_not_counted(monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def work(name, seconds):
        def run():
            calls.append(name)
            # The first round is slower, as with cold caches.
            now[0] += seconds + (100 if len(calls) <= 2 else 0)

        return run

    done = []
    seconds = interleave([work("a", 1.0), work("b", 2.0)], 3, 0.0, lambda: done.append(None))
    assert "".join(calls) == "abbaabba" and len(done) == 8
    assert seconds == [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]


def test_the_ratio_is_of_medians_and_the_spread_of_the_rounds_own_ratios():
    # The whole machine was slow in the last round: the medians shrug it off, and the rounds' ratios do not see it.
    base, ours = speeds("training", "x", "tokens/s", ["base", "ours"], [[4, 4, 4, 40, 5], [2, 4, 3.2, 20, 2.5]], work=8)
    assert (base.value, base.ratio, base.spread) == (2.0, 1.0, (1.0, 1.0))
    assert ours.value == 8 / 3.2 and ours.ratio == 4 / 3.2
    assert ours.spread == (1.25, 2.0)  # of 2, 1, 1.25, 2, 2
    assert ours.rounds == [4, 2, 2.5, 0.4, 3.2] and ours.seconds == [2, 4, 3.2, 20, 2.5] and ours.more_is_better


def test_sizes_are_compared_with_the_first():
    results = sizes("memory", "peak", {"base": 400, "ours": 100})
    assert [(r.candidate, r.value, r.ratio) for r in results] == [("base", 400, 1), ("ours", 100, 0.25)]
    assert not any(result.more_is_better for result in results)
