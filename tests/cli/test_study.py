"""ringformer study and ringformer report, as their user types them."""

import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from fairseq_ringformer.cli.main import main
from tests.cli.conftest import _write_corpus

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
    """What a recipe's prepare.sh leaves, of the toy language; ten sentences of it are also the test set."""
    from fairseq import options
    from fairseq_cli import preprocess

    folder = tmp_path_factory.mktemp("data")
    _write_corpus(folder)
    for language, kind in itertools.product(("de", "en"), ("", ".sub")):
        shutil.copy(folder / f"valid{kind}.{language}", folder / f"test{kind}.{language}")
    words = ["-s", "de", "-t", "en", "--joined-dictionary", "--workers", "1", "--destdir", str(folder / "bin")]
    for split in ("train", "valid", "test"):
        words += [f"--{split}pref", str(folder / f"{split}.sub")]
    preprocess.main(options.get_preprocessing_parser().parse_args(words))
    recipe = folder / "recipe.json"
    recipe.write_text(json.dumps({**json.loads(recipe.read_text()), "raw": "."}))
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


@pytest.mark.slow
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
        "test": 10,
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
    said = capfd.readouterr()
    assert "ring, seed 1: done before: BLEU" in said.err
    report = shlex.split(said.out.partition("; ringformer ")[2].partition(" makes tables")[0])
    assert ringformer(*report, "--output", tmp_path / "report") == 0
    text = capfd.readouterr().out
    assert "### Toys" in text and "| vanilla |" in text and "p: paired bootstrap of BLEU" in text
    found = json.loads((tmp_path / "report/report.json").read_text())["grids"][0]
    assert [row["row"] for row in found["rows"]] == ["vanilla", "ring"] and "p" in found["rows"][1]
    written = {"report.md", "report.json"} | {
        f"toy_{name}{end}" for name in ("scores", "curves") for end in (".png", ".svg")
    }
    assert {path.name for path in (tmp_path / "report").iterdir()} == written


@pytest.mark.slow
def test_data_that_no_recipe_made(tables, data, tmp_path, capfd):
    """What fairseq-preprocess wrote, references and a sub-word model: the figures are those of prepared data."""
    output, binary, references = tmp_path / "out", tmp_path / "bin", tmp_path / "english.txt"
    shutil.copytree(data / "bin", binary)
    shutil.copy(data / "test.en", references)
    length = ("--updates", 6, "--rows", "ring")
    assert ringformer(*study(tables, data, tmp_path / "prepared", *length)) == 0
    flags = ("--references", references, "--sentencepiece-model", data / "toy.model")
    assert ringformer(*study(tables, binary, output, *length, *flags)) == 0
    (expected,), (found,) = results(tmp_path / "prepared"), results(output)
    for name in ("bleu", "chrf", "parameters", "test", "curve", "key"):
        assert found[name] == expected[name]
    assert ringformer("report", "--tables", tables, "--results", output / "results.jsonl") == 0
    capfd.readouterr()
    for words, message in (
        (["--references", tmp_path / "none", *flags[2:]], f"--references {tmp_path}/none: "),
        (["--references", references], "say how its text was cut, with --sentencepiece-model FILE"),
        (["--grid", "pictures", *flags], "--references is for translation"),
    ):
        assert ringformer(*study(tables, binary, tmp_path / "x", *length[:2], *words)) == 2
        assert message in capfd.readouterr().err


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

    import fairseq_ringformer.models  # noqa: F401  registers the architectures, as --user-dir does
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
    flags = ["study", "--tables", tables, "--grid", "pictures", "--data", images, "--output", output]
    flags += "--budget 5s --workers 0 --in-chans 1".split()
    assert ringformer(*flags) == 0
    (entry,) = results(output)
    assert entry["grid"] == "pictures" and 0 <= entry["top1"] <= 100 and entry["published_top1"] == 60.0
    assert ringformer("report", "--tables", tables, "--results", output / "results.jsonl") == 0
    assert "top-1" in capfd.readouterr().out
    (next((images / "train").glob("*/*"))).unlink()
    assert ringformer(*flags) == 2
    assert "measured with other options or data" in capfd.readouterr().err


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--grid", "table9"], "--grid table9: there is none; choose one of toy, pictures"),
        (["--rows", "rink"], "--rows 'rink': toy has none of that name; rows: vanilla, ring"),
        (["--data", "nowhere"], "nowhere holds no prepared data"),
        (["--fp16"], "vanilla: --fp16 needs a GPU, this training is on the processor"),
        (["--seeds", "1", "1"], "--seeds names a seed twice"),
        (
            ["--sentencepiece-model", "spm.model"],
            "--sentencepiece-model is for data that no recipe made: add --references",
        ),
        (["--no-normalise"], "--no-normalise is for data that no recipe made: add --references FILE"),
        (["--lenpen", "nan"], "--lenpen nan is no number"),
        (["--equal", "time"], "--equal says what a --budget is divided by: leave it out with --updates"),
        (["-a", "transformer"], "-a is set by the study itself: leave it out"),
        (["--signal-rank", "2"], "--signal-rank is what makes the row 'ring' of toy: leave it out, or write a table"),
        (
            ["--grid", "pictures", "--model-arg", "signal_rank=2"],
            "--signal_rank is what makes the row 'ring' of pictures",
        ),
        (["--colour", "red"], "vanilla: unrecognized arguments: --colour red"),
        (["--encoder-attention-heads", "5"], "vanilla: encoder: embed_dim 32 is not divisible by the number of"),
        (["--criterion", "adaptive_loss"], "vanilla: --criterion adaptive_loss needs an adaptive softmax"),
        (["--lr", "2e-3x"], "vanilla: a flag of fairseq-train has a value that it cannot read: "),
        (["--tables", str(ROOT / "setup.py")], "setup.py: not a list of tables as paper.yaml is"),
        (["--tables", ""], ".: Is a directory"),
        (["--grid", "pictures", "--data", "nowhere"], "nowhere: no such folder of images"),
        (["--grid", "pictures"], ": no split train: it has no folder (or tar file) train or training"),
        (
            ["--grid", "pictures", "--lenpen", "0"],
            "pictures classifies images: --beam and --lenpen are for translation",
        ),
    ],
)
def test_mistakes_end_in_one_line_before_any_work(tables, data, tmp_path, capsys, flags, message):
    output = tmp_path / "out"
    assert ringformer(*study(tables, data, output, "--updates", 6, *flags)) == 2
    complaint = capsys.readouterr().err
    assert message in complaint and len(complaint.splitlines()) == 1
    assert not output.exists()


@pytest.mark.parametrize(
    "grid, name, row", [("toy", "encoder-embed-dim", "vanilla"), ("pictures", "embed_dim", "ring")]
)
def test_rows_that_make_no_model_are_refused(data, tmp_path, capsys, grid, name, row):
    spoilt = json.loads(json.dumps(TABLES))
    spoilt[grid]["rows"][0]["flags"][name] = 31
    path = tmp_path / "spoilt.yaml"
    path.write_text(yaml.safe_dump(spoilt))
    assert ringformer(*study(path, data, tmp_path / "out", "--updates", 6, "--grid", grid)) == 2
    complaint = capsys.readouterr().err
    assert f"study: {row}: " in complaint and "embed_dim 31 is not divisible" in complaint
    assert not (tmp_path / "out").exists()


def test_rows_of_other_models_than_ours_are_refused(data, tmp_path, capsys):
    """fairseq would train its own; they could not be counted in the end."""
    spoilt = json.loads(json.dumps(TABLES))
    spoilt["toy"]["rows"][0].update(arch="transformer_tiny", flags={})
    path = tmp_path / "spoilt.yaml"
    path.write_text(yaml.safe_dump(spoilt))
    assert ringformer(*study(path, data, tmp_path / "out", "--updates", 6)) == 2
    complaint = capsys.readouterr().err
    assert "study: vanilla: unknown architecture 'transformer_tiny': choose one of" in complaint
    assert not (tmp_path / "out").exists()


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
    "settings, message",
    [
        ({"updates": "10k"}, "toy: updates '10k' is no number of updates"),
        ({"flags": ["--lr", 1]}, "flags ['--lr', 1] are not written as NAME: VALUE"),
        ({"flags": {"seed": 3}}, "toy, vanilla: --seed is set by the study itself: leave it out"),
    ],
)
def test_tables_that_cannot_be_trained(data, tmp_path, capsys, settings, message):
    spoilt = json.loads(json.dumps(TABLES))
    spoilt["toy"]["settings"].update(settings)
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
            command._run(stub, [])
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
    common = dict.fromkeys("commit versions machine folder key conditions".split(), "")
    common |= {
        "versions": {},
        "data": "nowhere",
        **dict.fromkeys("seed parameters updates seconds bleu chrf".split(), 1),
    }
    path = folder / "results.jsonl"
    path.write_text("".join(json.dumps({**common, **entry}) + "\n" for entry in entries))
    return path


RING = {"grid": "toy", "row": "ring"}


@pytest.mark.parametrize(
    "entries, flags, message",
    [
        ([], [], "results.jsonl: no results yet"),
        ([RING], ["--grid", "pictures"], "--grid pictures: no results of it; there are results of toy"),
        ([RING], ["--data", "nowhere"], "nowhere holds no prepared data"),
        ([{**RING, "grid": "other"}], [], "results of other, which is no table of"),
        ([{**RING, "row": "a"}], [], "toy has no row 'a': name the file of its table"),
        ([RING] * 2, [], "two results of ring, seed 1 of toy, in {}: report on one study at a time"),
        (
            [RING, {**RING, "row": "vanilla", "conditions": "2", "beam": 1}],
            [],
            "different options or data: beam None and 1",
        ),
    ],
)
def test_reports_refuse_what_they_cannot_tell(tables, tmp_path, capsys, entries, flags, message):
    path = write_results(tmp_path, *entries)
    assert ringformer("report", "--tables", tables, "--results", path, *flags) == 2
    complaint = capsys.readouterr().err
    assert message.format(path) in complaint and len(complaint.splitlines()) == 1


def test_pictures_are_refused_before_work_where_nothing_draws_them(tables, tmp_path, capsys, monkeypatch):
    path = write_results(tmp_path, RING)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert ringformer("report", "--tables", tables, "--results", path, "--output", tmp_path / "report") == 2
    assert "analyses need matplotlib" in capsys.readouterr().err and not (tmp_path / "report").exists()


def test_what_is_wrong_with_other_grids_does_not_matter(tables, tmp_path, capsys):
    path = write_results(tmp_path, {"grid": "toy", "row": "ring"}, *[{"grid": "other", "row": "a"}] * 2)
    assert ringformer("report", "--tables", tables, "--results", path, "--grid", "toy") == 0
    assert "### Toys" in capsys.readouterr().out
