import json

import pytest
from matplotlib import image

from fairseq_ringformer.analysis.benchmark.measure import Result
from fairseq_ringformer.analysis.benchmark.plot import draw_ratios
from fairseq_ringformer.analysis.benchmark.profile import Profile
from fairseq_ringformer.analysis.benchmark.report import Outcome, describe_machine, show


@pytest.fixture
def outcome():
    results = [
        Result("training", "t", "stock", "target tokens/s", 1000.0, 1.0, (1.0, 1.0)),
        Result("training", "t", "ours", "target tokens/s", 1234.5, 1.2345, (1.1, 1.3)),
        Result("generation", "greedy", "stock", "sentences/s", 8.0, 1.0, (1.0, 1.0), extra={"tokens/s": 160.0}),
        Result("generation", "greedy", "ours", "sentences/s", 4.0, 0.5, (0.4, 0.6), extra={"tokens/s": 80.0}),
        Result("peak share", "training", "stock", "share", 0.5, 1.0, extra={"peak": 9e10}),
        Result("peak share", "training", "ours", "share", 0.625, 1.25, extra={"peak": 9e10}),
        Result("checkpoint", "whole", "stock", "bytes", 8e6, 1.0, more_is_better=False),
        Result("checkpoint", "whole", "ours", "bytes", 2e6, 0.25, more_is_better=False),
    ]
    candidates = [
        {"name": name, "parameters": 2000, "parameters_without_embeddings_and_head": 1000} for name in ("stock", "ours")
    ]
    machine = {**describe_machine("cpu"), "busy": 0.0}
    settings = {"threads": 3, "seed": 1, "rounds": 7}
    profiles = {
        "training": {
            "stock": Profile({"norms": (3.0, 1.0)}, {"aten::add": (4.0, 2)}),
            "ours": Profile({"level signals": (1.0, 1.0)}, {"aten::mm": (2.0, 5)}),
        }
    }
    return Outcome(machine, settings, "lengths of some text", "ringformer benchmark", candidates, results, profiles)


def rows(text):
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def test_the_table_has_every_result_with_ratio_and_spread(outcome):
    table = rows(outcome.table())
    assert ["training: t", "stock", "1,000 target tokens/s", "1.000", "1.000 - 1.000"] in table
    assert ["ours", "1,234 target tokens/s", "1.234", "1.100 - 1.300"] in table
    assert ["ours", "4.00 sentences/s, 80 tokens/s", "0.500", "0.400 - 0.600"] in table
    assert ["ours", "62.5% of 90 G multiply-adds/s", "1.250"] in table
    assert ["ours", "2.0 MB", "0.250"] in table
    assert "3 threads" in outcome.table() and "lengths of some text, seed 1, 7 rounds" in outcome.table()
    assert "do not trust" not in outcome.table()


def test_other_work_on_the_machine_is_said(outcome):
    outcome.machine["busy"] = 45.0
    assert "other work took 45% of the processor before or after: do not trust these times" in outcome.table()


def test_profiles_show_parts_side_by_side(outcome):
    table = rows(outcome.profile_tables())
    assert ["norms", "4.0", "1.0", "100.0%"] in table
    assert ["level signals", "2.0", "1.0", "100.0%"] in table
    assert ["in all", "4.0", "1.0", "100.0%", "2.0", "1.0", "100.0%"] in table
    assert ["ours", "aten::mm", "2.0", "100.0%", "5"] in table


def test_json_holds_everything(outcome):
    read = json.loads(json.dumps(outcome.as_dict()))
    assert read["schema"] == 2 and read["command"] == "ringformer benchmark"
    rows = [{**row, "spread": row["spread"] and tuple(row["spread"])} for row in read["results"]]
    assert [Result(**row) for row in rows] == outcome.results
    ours = read["profiles"]["training"]["ours"]
    assert ours == {"parts": {"level signals": [1.0, 1.0]}, "operations": {"aten::mm": [2.0, 5]}}
    assert read["machine"]["processor"] and read["machine"]["cores"] >= 1


def test_bars_start_at_the_baseline_and_carry_their_ratio(outcome, tmp_path):
    figure = draw_ratios(outcome)
    speed, size = figure.axes
    assert [text.get_text() for text in (*speed.texts, *size.texts)] == ["1.23", "0.50", "0.25"]
    assert [(bar.get_x(), bar.get_width()) for bar in speed.patches] == [(1, pytest.approx(0.2345)), (1, -0.5)]
    assert "more is better" in speed.get_title("left") and "less is better" in size.get_title("left")
    assert [label.get_text() for label in speed.get_yticklabels()] == ["training\nt", "generation\ngreedy"]
    figure.savefig(tmp_path / "a.png", dpi=150)
    picture = image.imread(tmp_path / "a.png")
    assert picture.shape[1] == 1350 and picture.std() > 0.05


def test_values_are_shown_in_their_units():
    assert show(Result("memory", "", "", "bytes", 1.5e9, 1.0)) == "1,500.0 MB"
    assert show(Result("generation", "", "", "sentences/s", 99.5, 1.0)) == "99.50 sentences/s"
