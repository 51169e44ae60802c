"""The queue of a study: how long runs are, and that interruptions leave no trace."""

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest

from fairseq_ringformer.analysis.counts.paper import Row, Table
from fairseq_ringformer.analysis.study.display import Display
from fairseq_ringformer.analysis.study.queue import Study
from fairseq_ringformer.analysis.study.speeds import Length, Speeds, Stopwatch
from tests.analysis.study import toy


def test_every_row_with_every_seed_and_the_fields_of_a_result(tmp_path):
    assert toy.study(tmp_path, Length(updates=20)).run(Display()) == []
    found = toy.lines(tmp_path)
    assert [(entry["row"], entry["seed"]) for entry in found] == [("fast", 1), ("fast", 2), ("slow", 1), ("slow", 2)]
    first = found[0]
    assert {
        "grid": "toy",
        "updates": 20,
        "warmup": 2,
        "parameters": 7,
        "published_bleu": 2.0,
        "commit": "0" * 40,
        "versions": {"toy": "1"},
        "machine": "a desk",
        "jobs": 2,
        "threads": 1,
    }.items() <= first.items()
    assert (tmp_path / first["folder"] / "checkpoint").read_text() == "20"


def test_more_jobs_than_gpus_share_them(tmp_path):
    study = toy.study(tmp_path, Length(updates=20))
    study.gpus = ["3", "5"]
    assert [study._environment(slot)["CUDA_VISIBLE_DEVICES"] for slot in range(4)] == ["3", "5", "3", "5"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The results of a study that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    toy.study(folder, Length(updates=25), kind=toy.Toy({"fast": 0.02, "slow": 0.02})).run(Display())
    return toy.lines(folder)


def processes(folder):
    """Those that work in `folder`."""
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if str(folder) in " ".join(process.info["cmdline"] or [])]


@pytest.mark.parametrize("point", ["training", "scoring", "scored", "telling"])
def test_a_study_killed_and_restarted_ends_with_the_same_results(tmp_path, whole, point):
    command = [sys.executable, "-m", "tests.analysis.study.toy", tmp_path, "25", "0.02"]
    killed = subprocess.run([*command, point], capture_output=True)
    assert killed.returncode == -signal.SIGKILL and not (tmp_path / "results.jsonl").exists()
    subprocess.run(command, check=True, capture_output=True)
    assert toy.lines(tmp_path) == whole
    assert not processes(tmp_path)


def test_what_a_killed_study_left_running_is_ended_first(tmp_path):
    """Also what the next study has no use for."""
    killed = [sys.executable, "-m", "tests.analysis.study.toy", tmp_path, "2000", "0.02", "training"]
    subprocess.run(killed, capture_output=True)
    assert processes(tmp_path)
    toy.study(tmp_path, Length(updates=3), seeds=[7])
    assert not processes(tmp_path)


def test_an_interrupted_study_ends_its_trainings(tmp_path):
    command = [sys.executable, "-m", "tests.analysis.study.toy", tmp_path, "2000", "0.02"]
    interrupted = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while len(list(tmp_path.glob("runs/*/checkpoint"))) < 2:
        time.sleep(0.05)
    interrupted.send_signal(signal.SIGINT)
    interrupted.wait(20)
    assert not processes(tmp_path)
    assert not (tmp_path / "results.jsonl").exists()


def test_what_is_done_is_not_done_again(tmp_path, capfd):
    toy.study(tmp_path, Length(updates=10), seeds=[1]).run(Display())
    before = toy.lines(tmp_path)
    capfd.readouterr()
    toy.study(tmp_path, Length(updates=10), seeds=[1], kind=toy.Toy(broken=("fast", "slow"))).run(Display())
    assert toy.lines(tmp_path) == before
    assert "fast, seed 1: done before: BLEU" in capfd.readouterr().err


def test_a_run_that_stands_in_two_tables_is_trained_once(tmp_path):
    import dataclasses

    toy.study(tmp_path, Length(updates=10), seeds=[1]).run(Display())
    other = dataclasses.replace(toy.TABLE, name="other")
    assert (
        toy.study(tmp_path, Length(updates=10), seeds=[1], kind=toy.Toy(broken=("fast", "slow")), table=other).run(
            Display()
        )
        == []
    )
    runs = [(entry["grid"], entry["row"], entry["bleu"]) for entry in toy.lines(tmp_path)]
    assert len(runs) == 4 and len({run[1:] for run in runs}) == 2


def test_budgets_give_updates_that_fit(tmp_path, monkeypatch):
    measured = []
    seconds = {"fast": 0.1, "slow": 0.5}
    monkeypatch.setattr(Study, "_measure", lambda self, row, *_: measured.append(row.name) or seconds[row.name])

    def updates(output, equal, seeds):
        toy.study(output, Length(budget=5.35, equal=equal), seeds=seeds).run(Display())
        return [(entry["row"], entry["updates"]) for entry in toy.lines(output)]

    assert updates(tmp_path / "updates", "updates", [1]) == [("fast", 10), ("slow", 10)]
    assert updates(tmp_path / "updates", "updates", [1, 2]) == 2 * [("fast", 10)] + 2 * [("slow", 10)]
    assert sorted(measured) == ["fast", "slow"]  # once: speeds are kept
    assert updates(tmp_path / "time", "time", [1]) == [("fast", 53), ("slow", 10)]


def test_speeds_are_measured_without_a_trace(tmp_path):
    toy.study(tmp_path, Length(budget=2.0), seeds=[1], kind=toy.Toy({"fast": 0.01, "slow": 0.05})).run(Display())
    speeds = json.loads((tmp_path / "speeds.json").read_text())
    assert len(speeds) == 2 and 0.008 < 2 * min(speeds.values()) < max(speeds.values())
    assert not list(tmp_path.glob("runs/pilot*"))


def test_a_budget_too_small_for_one_update(tmp_path):
    with pytest.raises(ValueError, match=r"the budget of 0.02 s is too small: one update of slow takes 0\.\d+ s here"):
        toy.study(tmp_path, Length(budget=0.02), kind=toy.Toy({"fast": 0.01, "slow": 0.2})).run(Display())
    assert not (tmp_path / "results.jsonl").exists()


def test_a_training_that_aborts_when_it_is_done_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(toy, "TRAINING", toy.TRAINING + "\nos.abort()\n")
    assert toy.study(tmp_path, Length(updates=5), seeds=[1]).run(Display()) == []
    assert [entry["row"] for entry in toy.lines(tmp_path)] == ["fast", "slow"]


def test_a_run_that_fails_does_not_stop_the_others(tmp_path, capsys):
    (complaint,) = toy.study(tmp_path, Length(updates=5), seeds=[1], kind=toy.Toy(broken=("fast",))).run(Display())
    assert complaint.startswith("fast, seed 1: training failed: no such toy (see ")
    assert complaint in capsys.readouterr().err  # at once, not only at the end
    assert [entry["row"] for entry in toy.lines(tmp_path)] == ["slow"]
    with pytest.raises(ValueError, match="fast does not train: no such toy"):
        toy.study(tmp_path, Length(budget=1.0), kind=toy.Toy(broken=("fast",))).run(Display())


@pytest.mark.parametrize("seed, then", [(1, "fast, seed 1"), (2, "fast, seed 1")])
def test_results_of_other_options_are_not_mixed_in(tmp_path, seed, then):
    """Neither of the same run, nor of another seed that would stand beside it."""
    toy.study(tmp_path, Length(updates=5), seeds=[1], jobs=1).run(Display())
    refusal = (
        rf"holds {then} of toy, measured with other options or data \(5 updates then, 6 now\): choose another --output"
    )
    with pytest.raises(ValueError, match=refusal):
        toy.study(tmp_path, Length(updates=6), seeds=[seed]).run(Display())


def test_an_unexpected_error_does_not_stop_the_others(tmp_path, monkeypatch):
    finish = toy.Toy.finish
    monkeypatch.setattr(
        toy.Toy, "finish", lambda self, folder, call: {}["x"] if "fast" in folder.name else finish(self, folder, call)
    )
    (complaint,) = toy.study(tmp_path, Length(updates=5), seeds=[1]).run(Display())
    assert complaint == "fast, seed 1: KeyError: 'x'"
    assert [entry["row"] for entry in toy.lines(tmp_path)] == ["slow"]


def test_a_damaged_file_of_speeds_is_begun_anew(tmp_path):
    path = tmp_path / "speeds.json"
    Speeds(path).keep("a", 1.5)
    assert Speeds(path).known == {"a": 1.5}
    for text in ('{"a": 1.', "[1]", '{"a": "b"}'):
        path.write_text(text)
        assert Speeds(path).known == {}


def test_two_studies_cannot_share_a_folder(tmp_path):
    first = toy.study(tmp_path, Length(updates=5))
    with pytest.raises(ValueError, match="another study runs in .*: wait for it, or choose another --output"):
        toy.study(tmp_path, Length(updates=5))
    first.lock.close()
    toy.study(tmp_path, Length(updates=5))


def test_the_stopwatch_leaves_out_the_first_updates(monkeypatch):
    watch, clock = Stopwatch(2, 3, 100, least=2.0), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    for update, seconds in enumerate([9, 9, 1, 1, 1], 1):
        clock[0] += seconds
        enough = watch.tell(update, 1.0)
    assert watch.per_update == 1.0 and enough


def test_rows_that_are_the_same_model_are_trained_once(tmp_path):
    """Side by side they would write into one folder at the same time."""

    class Alike(toy.Toy):
        def identity(self, row, seed, updates, warmup):
            return {"seed": seed, "updates": updates}

    rows = tuple(Row(name, name, "toy", score=1.0) for name in ("ours", "rank 8"))
    table = Table("toy", "Toys", "translation", "ours", 100, 10, {}, rows)
    kind = Alike({"ours": 0.02, "rank 8": 0.02})
    assert not toy.study(tmp_path, Length(updates=20), seeds=[1], kind=kind, table=table).run(Display())
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "train.log").read_text().count("update 20 ") == 1
    assert [(entry["row"], entry["bleu"]) for entry in toy.lines(tmp_path)] == [
        (name, 20 + len(folder.name) / 100) for name in ("ours", "rank 8")
    ]
