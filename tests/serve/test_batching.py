"""What waits together is translated together, and nobody gets what another asked for."""

import asyncio

import pytest

from fairseq_ringformer.serve import batching
from fairseq_ringformer.serve.batching import Batcher, Failed, Settings
from tests.serve.fake import Shouting

GREEDY = Settings(beam=1)


def run(translator, scenario, most_waiting=100):
    """The result of `scenario(batcher)`."""

    async def main():
        batcher = Batcher(translator, most_waiting)
        batcher.start()
        try:
            return await scenario(batcher)
        finally:
            translator.gate.set()
            await batcher.close()

    return asyncio.run(main())


async def held(translator, batcher, *requests):
    """Ask for `requests` while a first one is at work; their tasks, none of them begun."""
    translator.gate.clear()
    first = asyncio.create_task(batcher.translate(["first"], GREEDY))
    while not translator.batches:
        await asyncio.sleep(0.001)
    tasks = [asyncio.create_task(batcher.translate(*request)) for request in requests]
    await asyncio.sleep(0)
    return [first, *tasks]


def texts_of(translator):
    return [texts for texts, *_ in translator.batches]


def test_what_waits_is_one_batch_and_each_gets_its_own():
    translator = Shouting()

    async def scenario(batcher):
        tasks = await held(translator, batcher, (["a", "b"], GREEDY), (["c"], GREEDY), (["d", "e", "f"], GREEDY))
        translator.gate.set()
        return [[found.text for found in await task] for task in tasks]

    assert run(translator, scenario) == [["FIRST"], ["A", "B"], ["C"], ["D", "E", "F"]]
    assert texts_of(translator) == [["first"], ["a", "c", "d", "b", "e", "f"]]
    assert translator.closed


def test_as_many_batches_are_at_work_as_a_translator_can_side_by_side():
    translator = Shouting(parallel=2)

    async def scenario(batcher):
        tasks = await held(translator, batcher, (["a"], GREEDY))
        while len(translator.batches) < 2:
            await asyncio.sleep(0.001)
        more = [asyncio.create_task(batcher.translate([text], GREEDY)) for text in "bc"]
        await asyncio.sleep(0.01)
        assert texts_of(translator) == [["first"], ["a"]]
        translator.gate.set()
        return [[found.text for found in await task] for task in (*tasks, *more)]

    assert run(translator, scenario) == [["FIRST"], ["A"], ["B"], ["C"]]
    assert texts_of(translator) == [["first"], ["a"], ["b", "c"]]


def test_a_batch_has_one_kind_of_search():
    translator = Shouting()

    async def scenario(batcher):
        wide = Settings(beam=5, nbest=2)
        tasks = await held(translator, batcher, (["a"], wide), (["b"], GREEDY), (["c"], wide))
        translator.gate.set()
        await asyncio.gather(*tasks)

    run(translator, scenario)
    assert translator.batches[1:] == [(["a", "c"], 5, 2, False), (["b"], 1, 1, False)]


def test_a_long_list_delays_no_single_sentence(monkeypatch):
    monkeypatch.setattr(batching, "MOST_TEXTS", 2)
    translator = Shouting()

    async def scenario(batcher):
        tasks = await held(translator, batcher, (list("abcdef"), GREEDY), (["x"], Settings()), (["y"], GREEDY))
        translator.gate.set()
        return [[found.text for found in await task] for task in tasks[1:]]

    assert run(translator, scenario) == [list("ABCDEF"), ["X"], ["Y"]]
    assert texts_of(translator)[1:] == [["a", "y"], ["x"], ["b", "c"], ["d", "e"], ["f"]]


def test_a_batch_ends_where_its_characters_do(monkeypatch):
    monkeypatch.setattr(batching, "MOST_CHARACTERS", 4)
    translator = Shouting()
    run(translator, lambda batcher: batcher.translate(["aaa", "bbb", "ccccccc", "d"], GREEDY))
    assert texts_of(translator) == [["aaa", "bbb"], ["ccccccc"], ["d"]]


def test_a_text_that_breaks_the_translator_harms_no_other():
    translator = Shouting(broken=["bad"])

    async def scenario(batcher):
        tasks = await held(translator, batcher, (["a"], GREEDY), (["b", "bad"], GREEDY), (["c"], GREEDY))
        translator.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    _, a, bad, c = run(translator, scenario)
    assert [a[0].text, c[0].text] == ["A", "C"]
    assert isinstance(bad, Failed) and str(bad.__cause__) == "broken"


def test_a_request_that_has_failed_keeps_nobody_waiting():
    translator = Shouting(broken=["bad"])
    run(
        translator,
        lambda batcher: asyncio.gather(batcher.translate(["bad", *"abcdef"], GREEDY), return_exceptions=True),
    )
    assert texts_of(translator) == [["bad", *"abcdef"], ["bad"]]


def test_a_translator_that_loses_a_text_is_found_out():
    class Losing(Shouting):
        def translate(self, texts, **settings):
            return super().translate(texts, **settings)[1:]

    async def scenario(batcher):
        with pytest.raises(Failed) as error:
            await batcher.translate(["a", "b"], GREEDY)
        return str(error.value.__cause__)

    assert run(Losing(), scenario) == "1 texts have become 0 translations"
