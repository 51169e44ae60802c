"""From results to tables: means, significance, ranks."""

import random

import pytest

from fairseq_ringformer.analysis.counts.paper import Row, Table
from fairseq_ringformer.analysis.study import report
from fairseq_ringformer.analysis.study import summary as summaries
from fairseq_ringformer.analysis.study.significance import paired_bootstrap

TABLE = Table(
    "toy",
    "Toys",
    "translation",
    "vanilla",
    100,
    10,
    {},
    (
        Row("vanilla", "vanilla", "a", score=30.0),
        Row("ring", "ring", "b", score=29.5),
        Row("other", "other", "c", score=25.0),
    ),
)


def result(row, seed, bleu, **more):
    return {
        "grid": "toy",
        "row": row,
        "seed": seed,
        "parameters": 1000,
        "updates": 10,
        "seconds": 60.0 * seed,
        "bleu": bleu,
        "chrf": bleu + 20,
        "versions": {"toy": "1"},
        "commit": "abc",
        "machine": "a desk",
        "conditions": "x",
        **more,
    }


RESULTS = [result("ring", 2, 12.0), result("vanilla", 1, 9.0), result("ring", 1, 10.0), result("vanilla", 2, 10.0)]


def test_means_and_spread_over_seeds_in_the_tables_order():
    vanilla, ring = summaries.gather(TABLE, RESULTS, "bleu")
    assert (vanilla["row"], ring["row"]) == ("vanilla", "ring")
    assert ring["mean"] == 11 and ring["spread"] == pytest.approx(2**0.5) and ring["seeds"] == [1, 2]
    assert ring["seconds"] == 90 and ring["chrf"] == 31 and ring["published"] == 29.5
    (single,) = summaries.gather(TABLE, RESULTS[:1], "bleu")
    assert single["spread"] is None


def test_the_cells_of_a_table():
    cells = report.table_rows(summaries.gather(TABLE, RESULTS, "bleu"), "vanilla", "bleu")
    assert cells == [
        ["row", "parameters", "updates", "training", "BLEU", "chrF", "against vanilla", "published", "rank, published"],
        ["vanilla", "1,000", "10", "90 s", "9.50 ± 0.71", "29.50", "", "30.00", "2, 1"],
        ["ring", "1,000", "10", "90 s", "11.00 ± 1.41", "31.00", "+1.50", "29.50", "1, 2"],
    ]
    text = report.markdown(cells).splitlines()
    assert text[0].startswith("| row ") and len(text) == 4


def test_how_many_pairs_stand_in_the_papers_order():
    rows = [{"compared": mean, "published": published} for mean, published in ((10, 30), (11, 29), (9, 25), (9, None))]
    assert summaries.agreement(rows) == {"same": 2, "pairs": 3}
    assert summaries.agreement(rows[:1]) is None
    assert summaries.ranks([3.0, None, 5.0, 3.0]) == [2, None, 1, 2]


def sentences(count, changed, seed):
    """References and translations of which a share `changed` of the words is wrong."""
    draw = random.Random(seed)
    references = [" ".join(draw.choice("a b c d e f g h".split()) for _ in range(12)) for _ in range(count)]
    worse = [" ".join(word if draw.random() > changed else "x" for word in line.split()) for line in references]
    return references, worse


def test_significance_tells_a_real_difference_from_none():
    references, poor = sentences(100, 0.5, 1)
    _, good = sentences(100, 0.05, 1)
    found = paired_bootstrap(poor, {"good": good, "same": list(poor), "baseline": good}, references, samples=200)
    assert found["good"] == found["baseline"] < 0.05 < 0.5 < found["same"] == 1


def write_runs(folder, references, translations, scores={}):
    (folder / "test.en").write_text("".join(line + "\n" for line in references))
    results = []
    for (row, seed), lines in translations.items():
        run = folder / f"{row}{seed}"
        run.mkdir()
        (run / "hypotheses.en").write_text("".join(line + "\n" for line in lines))
        results.append(result(row, seed, scores.get((row, seed), 10.0), folder=run.name, file=folder / "results.jsonl"))
    return results


def test_each_seed_that_both_have_is_tested_and_the_largest_p_told(tmp_path):
    """Also where the references' name does not end in the language."""
    references, poor = sentences(50, 0.5, 2)
    runs = {
        ("vanilla", 1): poor,
        ("ring", 1): references,
        ("vanilla", 2): poor,
        ("ring", 2): poor,
        ("ring", 3): references,
    }
    results = write_runs(tmp_path, references, runs)
    summary = summaries.gather(TABLE, results, "bleu")
    (tmp_path / "test.en").rename(tmp_path / "english.txt")
    assert summaries.add_significance(summary, "vanilla", tmp_path / "english.txt") == ""
    assert "p" not in summary[0] and set(summary[1]["p_by_seed"]) == {1, 2}
    assert summary[1]["p_by_seed"][1] < 0.05 and summary[1]["p"] == summary[1]["p_by_seed"][2] == 1.0


def test_seeds_that_disagree_have_no_p(tmp_path):
    references, poor = sentences(50, 0.5, 2)
    _, worse = sentences(50, 0.9, 2)
    runs = {("vanilla", 1): poor, ("ring", 1): references, ("vanilla", 2): poor, ("ring", 2): worse}
    results = write_runs(tmp_path, references, runs, {("ring", 1): 30.0, ("ring", 2): 4.0})
    summary = summaries.gather(TABLE, results, "bleu")
    assert summaries.add_significance(summary, "vanilla", tmp_path / "test.en") == ""
    assert summary[1]["p"] is None and all(p < 0.05 for p in summary[1]["p_by_seed"].values())
    assert report.table_rows(summary, "vanilla", "bleu")[2][6:9] == ["+7.00", "±", "29.50"]
    assert "p ±: one seed gains, another loses" in report.notes(summary)
    agreed = summaries.gather(TABLE, results[:2], "bleu")
    summaries.add_significance(agreed, "vanilla", tmp_path / "test.en")
    assert agreed[1]["p"] == summary[1]["p_by_seed"][1]
    assert not any("one seed gains" in note for note in report.notes(agreed))


def test_results_of_different_conditions_are_not_put_together():
    other = result("ring", 2, 12.0, conditions="y") | {"updates": 20}
    with pytest.raises(
        ValueError, match="vanilla and ring of toy were measured with different .*: updates 10 and 20; report on them"
    ):
        summaries.check_comparable([result("vanilla", 1, 9.0), other])
    summaries.check_comparable(RESULTS)


@pytest.mark.parametrize(
    "spoil, why",
    [
        (lambda folder: (folder / "ring1/hypotheses.en").unlink(), "no significance: .*ring1 has no translations"),
        (lambda folder: (folder / "test.en").unlink(), "no significance: the references are not there"),
        (
            lambda folder: (folder / "test.en").write_text("one\n"),
            "no significance: .* have different numbers of lines",
        ),
    ],
)
def test_without_texts_there_is_no_significance(tmp_path, spoil, why):
    import re

    references, poor = sentences(5, 0.5, 3)
    results = write_runs(tmp_path, references, {("vanilla", 1): poor, ("ring", 1): references})
    spoil(tmp_path)
    summary = summaries.gather(TABLE, results, "bleu")
    assert re.match(why, summaries.add_significance(summary, "vanilla", tmp_path / "test.en"))
    assert all("p" not in row for row in summary)


def test_differences_are_over_the_seeds_that_both_have():
    summary = summaries.gather(
        TABLE, [result("vanilla", 1, 9.0), result("vanilla", 2, 5.0), result("ring", 1, 8.0)], "bleu"
    )
    headings, vanilla, ring = report.table_rows(summary, "vanilla", "bleu")
    place = headings.index("against vanilla")
    assert (vanilla[place], ring[place]) == ("", "-1.00")
    apart = summaries.gather(TABLE, [result("vanilla", 1, 9.0), result("ring", 2, 8.0)], "bleu")
    assert report.table_rows(apart, "vanilla", "bleu")[2][place] == ""


def test_ranks_are_over_the_seeds_that_all_rows_have():
    """The vanilla model is the better one of seed 1, and its second seed a bad one."""
    results = [result("vanilla", 1, 9.0), result("vanilla", 2, 5.0), result("ring", 1, 8.0)]
    summary = summaries.gather(TABLE, results, "bleu")
    headings, vanilla, ring = report.table_rows(summary, "vanilla", "bleu")
    assert (vanilla[headings.index("seeds")], ring[headings.index("seeds")]) == ("1, 2", "1")
    assert (vanilla[-1], ring[-1]) == ("1, 1", "2, 2")
    told = report.notes(summary)
    assert "ranks and order: over seed 1, which all rows have" in told
    assert "1 of 1 pairs of rows stand in the paper's order" in told
    apart = summaries.gather(TABLE, [result("vanilla", 1, 9.0), result("ring", 2, 8.0)], "bleu")
    assert [row[-1] for row in report.table_rows(apart, "vanilla", "bleu")[1:]] == ["1", "2"]
    assert "ranks and order: none: no seed is common" in report.notes(apart)
