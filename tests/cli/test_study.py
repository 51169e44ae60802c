"""ringformer study and ringformer report, as their user types them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from fairseq_ringformer.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"encoder-embed-dim": 32, "encoder-ffn-embed-dim": 64, "encoder-layers": 2, "decoder-layers": 2}
TABLES = {
    "toy": {
        "caption": "Toys",
        "kind": "translation",
        "baseline": "vanilla",
        "settings": {
            "updates": 100,
            "warmup": 10,
            "flags": {
                "optimizer": "adam",
                "lr": 3e-3,
                "lr-scheduler": "cosine",
                "clip-norm": 1.0,
                "criterion": "cross_entropy",
                "batch-size": 16,
            },
        },
        "rows": [
            {"row": "vanilla", "arch": "vanilla_transformer_tiny", "flags": SIZES, "score": 30.0},
            {"row": "ring", "arch": "ringformer_tiny", "flags": {**SIZES, "signal-rank": 4}, "score": 29.0},
        ],
    },
    "pictures": {
        "kind": "vision",
        "baseline": "ring",
        "settings": {
            "updates": 100,
            "warmup": 10,
            "flags": {"opt": "adamw", "lr": 1e-3, "batch-size": 8, "crop": "none"},
        },
        "rows": [
            {
                "row": "ring",
                "arch": "vit_ring_tiny_patch4_28",
                "flags": {"embed_dim": 48, "signal_rank": 4},
                "score": 60.0,
            }
        ],
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    prepare = [
        ROOT / "examples/debian_de_en/prepare.sh",
        "--source",
        "numbers",
        "--sizes",
        "400",
        "20",
        "20",
        "--vocab-size",
        "200",
        "--output",
        folder,
    ]
    subprocess.run(prepare, check=True, capture_output=True)
    return folder


@pytest.fixture
def tables(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(TABLES, sort_keys=False))
    return path


def study(tables, data, output, *flags):
    return ["study", "--tables", tables, "--grid", "toy", "--data", data, "--output", output, "--threads", "1", *flags]


def ringformer(*words):
    return main([str(word) for word in words])


def results(output):
    entries = [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]
    return sorted(entries, key=lambda entry: (entry["row"], entry["seed"]))


def test_a_study_of_translators_and_its_report(tables, data, tmp_path, capfd):
    output = tmp_path / "out"
    assert ringformer(*study(tables, data, output, "--updates", 6, "--rows", "ring", "--lr", "2e-3")) == 0
    (entry,) = results(output)
    assert {
        "grid": "toy",
        "row": "ring",
        "seed": 1,
        "updates": 6,
        "warmup": 1,
        "published_bleu": 29.0,
        "test": 20,
        "own_flags": ["--lr", "2e-3"],
    }.items() <= entry.items()
    assert (
        entry["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")
        and entry["parameters"] > entry["parameters_inner"] > 0
    )
    assert entry["curve"][-1][0] == 6 and entry["seconds"] > 0 and entry["versions"]["fairseq-fixed"]
    log = (output / entry["folder"] / "train.log").read_text()
    assert (
        "'lr': [0.002]" in log
        and "'batch_size': 16" in log
        and "signal_rank=4" in log.replace("'signal_rank': 4", "signal_rank=4")
    )
    capfd.readouterr()
    assert ringformer(*study(tables, data, output, "--updates", 6, "--lr", "2e-3")) == 0
    assert "ring, seed 1: done before: BLEU" in capfd.readouterr().err
    report = ["report", "--tables", tables, "--results", output / "results.jsonl", "--output", tmp_path / "report"]
    assert ringformer(*report) == 0
    text = capfd.readouterr().out
    assert "### Toys" in text and "| vanilla |" in text and "p: paired bootstrap of BLEU" in text
    found = json.loads((tmp_path / "report/report.json").read_text())["grids"][0]
    assert [row["row"] for row in found["rows"]] == ["vanilla", "ring"] and "p" in found["rows"][1]
    written = {"report.md", "report.json"} | {
        f"toy_{name}{end}" for name in ("scores", "curves") for end in (".png", ".svg")
    }
    assert {path.name for path in (tmp_path / "report").iterdir()} == written


@pytest.mark.slow
def test_a_killed_study_ends_with_the_same_figures(tables, data, tmp_path):
    """The real trainings, killed with their checkpoints half made; a minute and a half."""
    command = [
        sys.executable,
        "-m",
        "fairseq_ringformer.cli.main",
        *map(str, study(tables, data, "", "--updates", "40")),
    ]
    place = command.index("")

    def begin(output):
        return subprocess.Popen([*command[:place], str(output), *command[place + 1 :]], stderr=subprocess.DEVNULL)

    assert begin(tmp_path / "whole").wait() == 0
    for _ in range(3):
        killed = begin(tmp_path / "killed")
        time.sleep(15)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
    assert begin(tmp_path / "killed").wait() == 0
    whole, again = (
        [{key: value for key, value in entry.items() if key != "seconds"} for entry in results(tmp_path / name)]
        for name in ("whole", "killed")
    )
    assert whole == again


def test_a_checkpoint_that_a_kill_has_cut_gives_way_to_the_newest_whole_one(data, tmp_path):
    """fairseq copies its last checkpoint into place: a kill in between leaves half of it."""
    from fairseq_ringformer.analysis.counts.paper import read_tables
    from fairseq_ringformer.analysis.study.last_checkpoint import updates_done
    from fairseq_ringformer.analysis.study.translation import Translation
    from fairseq_ringformer.files import read_checkpoint, write_checkpoint

    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(TABLES, sort_keys=False))
    kind, checkpoints = Translation(data, read_tables(path)["toy"], []), tmp_path / "checkpoints"
    checkpoints.mkdir()
    assert not kind.trained(tmp_path, 1)
    last = checkpoints / "checkpoint_last.pt"
    for update, name in ((3, "checkpoint_best.pt"), (7, "checkpoint_1_7.pt"), (10, "checkpoint_last.pt")):
        write_checkpoint({"model": {}, "optimizer_history": [{"num_updates": update}]}, str(checkpoints / name))
        os.utime(checkpoints / name, (update, update))
    assert kind.trained(tmp_path, 10) and not kind.trained(tmp_path, 11)
    last.write_bytes(last.read_bytes()[:100])
    assert not kind.trained(tmp_path, 10)
    assert updates_done(read_checkpoint(str(last)), last) == 7
    assert (checkpoints / "checkpoint_last.pt.damaged").exists()
    for path in checkpoints.iterdir():
        path.write_bytes(b"half")
    assert not kind.trained(tmp_path, 1) and not last.exists()


def test_flags_of_the_user_win(data, tmp_path):
    from fairseq import options

    from fairseq_ringformer.analysis.counts.paper import read_tables
    from fairseq_ringformer.analysis.study.translation import Translation

    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(TABLES, sort_keys=False))
    table = read_tables(path)["toy"]
    kind = Translation(data, table, ["--num-workers", "3", "--lr", "0.125"])
    words = kind.command(table.rows[0], 1, 10, 1, tmp_path, 5)
    args = options.parse_args_and_arch(options.get_training_parser(), words[words.index("fairseq_cli.train") + 1 :])
    assert (args.num_workers, args.lr) == (3, [0.125])


@pytest.mark.slow
def test_a_study_of_classifiers(tables, tmp_path, capfd):
    from tests.vision.images import write_splits

    images = write_splits(tmp_path / "images", train=64, size=28, mode="L")
    output = tmp_path / "out"
    flags = [
        "study",
        "--tables",
        tables,
        "--grid",
        "pictures",
        "--data",
        images,
        "--output",
        output,
        "--budget",
        "5s",
        "--workers",
        "0",
        "--in-chans",
        "1",
    ]
    assert ringformer(*flags) == 0
    (entry,) = results(output)
    assert entry["grid"] == "pictures" and 0 <= entry["top1"] <= 100 and entry["published_top1"] == 60.0
    assert ringformer("report", "--tables", tables, "--results", output / "results.jsonl") == 0
    assert "top-1" in capfd.readouterr().out


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--grid", "table9"], "--grid table9: there is none; choose one of toy, pictures"),
        (["--rows", "rink"], "--rows 'rink': toy has none of that name; rows: vanilla, ring"),
        (
            ["--data", "nowhere"],
            "nowhere holds no prepared data (nowhere/recipe.json: No such file or directory): run a recipe's",
        ),
        (["--seeds", "1", "1"], "--seeds names a seed twice"),
        (["--equal", "time"], "--equal says what a --budget is divided by: leave it out with --updates"),
        (["-a", "transformer"], "-a is set by the study itself: leave it out"),
        (
            ["--signal-rank", "2"],
            "--signal-rank is what makes the row 'ring' of toy: leave it out, or write a table of your own",
        ),
        (["--colour", "red"], "vanilla: unrecognized arguments: --colour red"),
        (["--signal", "loud"], "vanilla: argument --signal: invalid choice: 'loud'"),
        (["--lr", "2e-3x"], "vanilla: a flag of fairseq-train has a value that it cannot read: "),
        (["--max-update", "3"], "--max-update is set by the study itself: leave it out"),
        (["--tables", "nowhere.yaml"], "nowhere.yaml: No such file or directory"),
        (["--tables", str(ROOT / "setup.py")], "setup.py: not a list of tables as paper.yaml is"),
        (["--grid", "pictures", "--data", "nowhere"], "nowhere: no such folder of images"),
        (["--grid", "pictures"], ": no split train: it has no folder (or tar file) train or training"),
        (
            ["--grid", "pictures", "--dataset", "torch/fashion_mnist"],
            ": --dataset torch/fashion_mnist cannot be read from here",
        ),
        (
            ["--grid", "pictures", "--lenpen", "0"],
            "pictures classifies images: --beam and --lenpen are for translation",
        ),
        (["--grid", "pictures", "--batch-size", "0"], "--batch-size 0: must be at least 1"),
    ],
)
def test_mistakes_end_in_one_line_before_any_work(tables, data, tmp_path, capsys, flags, message):
    output = tmp_path / "out"
    assert ringformer(*study(tables, data, output, "--updates", 6, *flags)) == 2
    complaint = capsys.readouterr().err
    assert message in complaint and len(complaint.splitlines()) == 1
    assert not output.exists()


@pytest.mark.parametrize(
    "grid, name, message",
    [
        (
            "toy",
            "encoder-embed-dim",
            "vanilla: encoder: embed_dim 31 is not divisible by the number of attention heads, 4",
        ),
        (
            "pictures",
            "embed_dim",
            "ring: model vit_ring_tiny_patch4_28: embed_dim 31 is not divisible by the number of",
        ),
    ],
)
def test_rows_that_make_no_model_are_refused(data, tmp_path, capsys, grid, name, message):
    spoilt = json.loads(json.dumps(TABLES))
    spoilt[grid]["rows"][0]["flags"][name] = 31
    path = tmp_path / "spoilt.yaml"
    path.write_text(yaml.safe_dump(spoilt))
    assert ringformer(*study(path, data, tmp_path / "out", "--updates", 6, "--grid", grid)) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_every_rows_images_are_looked_for(tmp_path, capsys):
    """Rows may read other channels of the same images."""
    from tests.vision.images import write_splits

    spoilt = json.loads(json.dumps(TABLES["pictures"]))
    spoilt["rows"].insert(0, {**spoilt["rows"][0], "row": "two", "settings": {"in-chans": 2}})
    path, images = tmp_path / "spoilt.yaml", write_splits(tmp_path / "images", train=2, size=28, mode="L")
    path.write_text(yaml.safe_dump({"pictures": spoilt}))
    assert ringformer(*study(path, images, tmp_path / "out", "--updates", 6, "--grid", "pictures")) == 2
    complaint = capsys.readouterr().err
    assert "images of 2 channels: only 1 (grey) and 3 (colour) can be read" in complaint
    assert len(complaint.splitlines()) == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "place, value, message",
    [
        (("updates",), 0, "toy: updates 0 is no number of updates"),
        (("updates",), "10k", "toy: updates '10k' is no number of updates"),
        (("flags",), ["--lr", 1], "flags ['--lr', 1] are not written as NAME: VALUE"),
        (("flags", "seed"), 3, "toy, vanilla: --seed is set by the study itself: leave it out"),
    ],
)
def test_tables_that_cannot_be_trained(data, tmp_path, capsys, place, value, message):
    spoilt = json.loads(json.dumps(TABLES))
    inner = spoilt["toy"]["settings"]
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    path = tmp_path / "spoilt.yaml"
    path.write_text(yaml.safe_dump(spoilt))
    assert ringformer(*study(path, data, tmp_path / "out", "--updates", 6)) == 2
    complaint = capsys.readouterr().err
    assert message in complaint and len(complaint.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_missing_binary_data_end_in_one_line_before_any_work(tables, data, tmp_path, capsys):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    (copy / "bin/train.de-en.de.bin").unlink()
    assert ringformer(*study(tables, copy, tmp_path / "out", "--updates", 6)) == 2
    assert "/bin/train.de-en.de.bin: No such file or directory): run a recipe's" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_rows_may_be_called_by_numbers(tmp_path):
    from fairseq_ringformer.analysis.counts.paper import read_tables

    numbered = json.loads(json.dumps(TABLES))["toy"]
    for number, row in enumerate(numbered["rows"]):
        row.update(row=number, flags=None)
    path = tmp_path / "numbered.yaml"
    path.write_text(yaml.safe_dump({"toy": {**numbered, "baseline": 1}}))
    table = read_tables(path)["toy"]
    assert table.baseline == "1" and [(row.name, row.flags) for row in table.rows] == [("0", {}), ("1", {})]


def test_nohup_holds(monkeypatch, tmp_path):
    """A study is told to end by its terminal's closing, unless nohup has said that it shall not."""
    from types import SimpleNamespace

    from fairseq_ringformer.cli import study as command

    seen = []
    stub = SimpleNamespace(output=tmp_path, run=lambda states: seen.append(signal.getsignal(signal.SIGHUP)) or [])
    before = [(number, signal.getsignal(number)) for number in (signal.SIGHUP, signal.SIGTERM)]
    try:
        for handler in (signal.SIG_IGN, signal.SIG_DFL):
            signal.signal(signal.SIGHUP, handler)
            command._run(stub)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    assert seen == [signal.SIG_IGN, command._interrupt]


@pytest.mark.parametrize(
    "flags", [["--budget", "soon"], ["--budget", "0s"], ["--budget", "5m", "--updates", "3"], ["--jobs", "0"]]
)
def test_impossible_lengths_are_refused(tables, data, flags, capsys):
    with pytest.raises(SystemExit):
        ringformer(*study(tables, data, "out", *flags))
    assert f"argument {flags[-2]}" in capsys.readouterr().err


def write_results(folder, *entries):
    common = {
        "seed": 1,
        "parameters": 1,
        "updates": 1,
        "seconds": 1,
        "bleu": 1.0,
        "chrf": 1.0,
        "commit": None,
        "versions": {},
        "machine": "",
        "data": "nowhere",
        "folder": "x",
        "key": "",
        "conditions": "",
    }
    path = folder / "results.jsonl"
    path.write_text("".join(json.dumps({**common, **entry}) + "\n" for entry in entries))
    return path


@pytest.mark.parametrize(
    "entries, flags, message",
    [
        ([], [], "results.jsonl: no results yet"),
        (
            [{"grid": "toy", "row": "ring"}],
            ["--grid", "pictures"],
            "--grid pictures: no results of it; there are results of toy",
        ),
        (
            [{"grid": "toy", "row": "ring"}],
            ["--data", "nowhere"],
            "nowhere holds no prepared data (nowhere/recipe.json: No such",
        ),
        ([{"grid": "other", "row": "a"}], [], "results of other, which is no table of"),
        ([{"grid": "toy", "row": "a"}], [], "results of toy are of rows that it does not have"),
        (
            [{"grid": "toy", "row": "ring"}] * 2,
            [],
            "two results of ring, seed 1 of toy, in {}: report on one study at a time",
        ),
        (
            [{"grid": "toy", "row": "ring"}, {"grid": "toy", "row": "vanilla", "conditions": "2", "beam": 1}],
            [],
            "ring and vanilla of toy were measured with different options or data: beam None and 1; report on them apart",
        ),
    ],
)
def test_reports_refuse_what_they_cannot_tell(tables, tmp_path, capsys, entries, flags, message):
    path = write_results(tmp_path, *entries)
    assert ringformer("report", "--tables", tables, "--results", path, *flags) == 2
    complaint = capsys.readouterr().err
    assert message.format(path) in complaint and len(complaint.splitlines()) == 1


def test_what_is_wrong_with_other_grids_does_not_matter(tables, tmp_path, capsys):
    path = write_results(tmp_path, {"grid": "toy", "row": "ring"}, *[{"grid": "other", "row": "a"}] * 2)
    assert ringformer("report", "--tables", tables, "--results", path, "--grid", "toy") == 0
    assert "### Toys" in capsys.readouterr().out


def test_a_report_without_texts_says_that_there_is_no_significance(tables, tmp_path, capsys):
    path = write_results(tmp_path, {"grid": "toy", "row": "ring"}, {"grid": "toy", "row": "vanilla"})
    assert ringformer("report", "--tables", tables, "--results", path) == 0
    assert (
        "(no significance: the references are not there (--data names the prepared data).)" in capsys.readouterr().out
    )
