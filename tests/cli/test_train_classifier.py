import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from fairseq_ringformer.vision.training.options import Options, as_plain, gather
from tests.vision.images import damage, write_splits

ROOT = Path(__file__).parents[2]
TINY = (
    "--model vit_ring_tiny_patch4_28 --img-size 8 --batch-size 8 --workers 0 --device cpu "
    "--model-arg embed_dim=16 ffn_dim=32 num_heads=2 --model-arg depth=2"
).split()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("images"), train=8, validation=4, size=8, mode="L")


def needed(**changes):
    return {"data": "d", "model": "m", "output": "o", "epochs": 1, **changes}


def config(folder, text):
    path = folder / "config.yaml"
    path.write_text(text)
    return str(path)


def test_from_flags_to_a_model_of_timm(ringformer, data, tmp_path):
    import timm

    status, out, err = ringformer(
        "train-classifier", "--data", data, *TINY, "--output", tmp_path, "--epochs", 1, "--log-interval", 1
    )
    assert status == 0 and out.startswith("top-1 ") and out.endswith(f" at epoch 1: {tmp_path}/best.pt\n")
    lines = err.splitlines()
    assert lines[0].endswith(
        "images of 8 x 8 in grey become 8 x 8 grey, 2 classes, batch 8 (8 x 1 process x 1 step), 2 updates"
    )
    assert lines[1].startswith("epoch 1, update 1/2: loss ") and lines[3].startswith("epoch 1 ends at update 2: ")
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    model = timm.create_model(best["arch"], checkpoint_path=str(tmp_path / "best.pt"), **best["model_args"])
    assert all(value.equal(best["state_dict"][key]) for key, value in model.state_dict().items())


def test_what_is_made_of_images_and_lost_of_them_is_said_first(ringformer, tmp_path):
    data = write_splits(tmp_path / "data", size=40)
    (data / "train" / "cat" / "notes.txt").write_text("no image")
    command = ["train-classifier", "--data", data, *TINY, "--epochs", 1]
    lines = ringformer(*command, "--output", tmp_path / "grey")[2].splitlines()
    assert ", images of 40 x 40 in colour become 8 x 8 grey, 2 classes, " in lines[0]
    assert lines[1:4] == [
        "warning: their colour is thrown away: --in-chans 3 keeps it",
        "warning: their sides shrink to 20%: a higher --img-size keeps more of what they show",
        f"1 file is no image, left out: {data}/train/cat/notes.txt",
    ]
    _, _, err = ringformer(*command, "--img-size", 20, "--in-chans", 3, "--output", tmp_path / "colour")
    assert ", images of 40 x 40 in colour become 20 x 20 in colour, " in err and "warning" not in err
    status, _, err = ringformer(*command, "--output", tmp_path / "x", "--damaged", "refuse")
    assert status == 2 and err.endswith(f"left out: {data}/train/cat/notes.txt (--damaged refuse)\n")


@pytest.mark.slow
def test_names_that_are_no_utf8_and_colons(ringformer, tmp_path):
    """From folders and files of such names to the classes predicted, printed where the output is ASCII, too."""
    data, run = tmp_path / os.fsdecode(b"a:b \xfc"), tmp_path / "run:1 ü"
    odd = os.fsdecode(b"gr\xfcn")
    write_splits(data, train=8, validation=4, size=8, mode="L", classes=(odd, "ä"))
    damaged = damage(data / "train" / odd / "1.png")
    damaged.rename(damaged.with_name(os.fsdecode(b"\xe4.png")))
    command = ["train-classifier", "--data", data, *TINY, "--output", run, "--epochs", 1]
    status, out, _ = ringformer(*command)
    assert status == 0 and out.startswith("top-1 ")
    status, _, err = ringformer(*command, "--output", data)
    assert status == 2 and err.endswith("a:b \\udcfc: TensorBoard writes to names in UTF-8 alone: choose another\n")
    assert (run / "damaged.txt").read_text(encoding="utf-8").endswith("gr\\udcfcn/\\udce4.png\n")
    evaluated = ["evaluate", "--path", run / "best.pt", "--data", data, "--device", "cpu", "--per-class", "--json"]
    assert ringformer(*evaluated, run / "scores.json")[0] == 0
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    assert {row["class"] for row in scores["per_class"]} == {odd, "ä"}
    predict = ["predict", "--path", run / "best.pt", "--device", "cpu", data / "validation" / "ä" / "1.png"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    for json_flag in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "fairseq_ringformer.cli.main", *map(str, predict), *json_flag],
            capture_output=True,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        line = done.stdout.decode("ascii")
        assert "\\xe4/1.png: " in line if not json_flag else json.loads(line)["image"].endswith("/ä/1.png")


def test_flags_win_over_the_file_and_that_over_defaults(tmp_path):
    text = "lr: 1e-2\nbatch_size: 64\nscale: [0.5, 1]\nmean: 0.3\ncompile: yes\nmodel-arg: {depth: 3}\n"
    text += "mixed-precision: no\n"
    path = config(tmp_path, text)
    options = gather(needed(batch_size=32, model_arg={"signal_rank": 2}), path)
    assert (options.lr, options.batch_size, options.scale, options.mean) == (0.01, 32, (0.5, 1.0), (0.3,))
    assert options.compile is True and options.mixed_precision == "no" and options.seed == Options().seed
    assert options.model_arg == {"depth": 3, "signal_rank": 2}


def test_a_length_on_the_command_line_replaces_the_file_s(tmp_path):
    options = gather({"data": "d", "model": "m", "output": "o", "epochs": 2}, config(tmp_path, "max-update: 1e5"))
    assert (options.epochs, options.max_update) == (2, None)


def test_options_survive_yaml(tmp_path):
    options = Options(**needed(opt_arg={"betas": [0.9, 0.98]}, mean=(0.1, 0.2, 0.3)))
    assert gather({}, config(tmp_path, yaml.safe_dump(as_plain(options)))) == options


def test_augmentation_is_declared_as_the_data_has_it():
    from fairseq_ringformer.vision.data import Augmentation

    own = {entry.name: entry.default for entry in dataclasses.fields(Options)}
    assert {entry.name: entry.default for entry in dataclasses.fields(Augmentation)}.items() <= own.items()


@pytest.mark.parametrize("folder", ["fashion_mnist", "imagenet_small", "imagenet_1k"])
def test_example_configurations(folder):
    path = ROOT / "examples" / folder / "config.yaml"
    given = {"data": "d", "model": "m", "output": "o"}
    options = gather(given, str(path))
    options.check()
    # The paper's, with its clipping; the quick recipe has an optimiser of its own.
    assert options.opt == ("nadamuon" if folder == "fashion_mnist" else "adam") and options.clip_grad == 1.0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("batchsize: 3", "unknown key batchsize; did you mean batch-size?"),
        ("lr: fast", "--lr: invalid float value: 'fast'"),
        ("epochs: true", "--epochs: expected one argument"),
        ("compile: 1", "--compile/--no-compile: "),
        ("scale: [1]", "--scale: expected 2 arguments"),
        ("sched: linear", "--sched: invalid choice: 'linear'"),
        ("opt-arg: [1]", "--opt-arg: 1: write KEY=VALUE"),
        ("batch-size: 3\nbatch_size: 4", "batch_size is given twice"),
        ("- a\n- b", "expected lines of the form KEY: VALUE"),
        ("a: [", "line 2: not YAML"),
    ],
)
def test_configuration_that_cannot_be_read(refused, tmp_path, text, problem):
    path = config(tmp_path, text + "\n")
    err = refused("train-classifier", "--config", path, "--data", "d", "--model", "m", "--output", tmp_path / "o")
    assert path in err and problem in err


@pytest.mark.parametrize("name", ["no.yaml", ""])
def test_missing_configuration(refused, name):
    assert f"{name}: No such file or directory" in refused("train-classifier", "--config", name)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--batch-size", "0"], "--batch-size 0: must be at least 1"),
        (["--lr", "nan"], "--lr nan: must be above 0"),
        (["--dropout", "1"], "--dropout 1: must be below 1"),
        (["--max-update", "5"], "one of --epochs and --max-update, not both"),
        (["--resume", "--restart"], "--resume and --restart exclude each other"),
        (["--min-lr", "1"], "--min-lr 1 is above --lr 0.001"),
        (["--mixup", "0.1", "--batch-size", "7"], "--batch-size 7 must be even"),
        (["--data", ""], "--data is missing"),
        (["--data", "/no/such"], "/no/such: no such folder"),
    ],
)
def test_flags_that_cannot_work(refused, data, tmp_path, flags, problem):
    base = ["--data", data, *TINY, "--output", tmp_path / "o", "--epochs", 1]
    assert problem in refused("train-classifier", *base, *flags)


@pytest.mark.parametrize("text", ["depth", "=3", "depth=[1"])
def test_arguments_that_are_no_pairs(ringformer, capsysbinary, text):
    with pytest.raises(SystemExit) as error:
        ringformer("train-classifier", "--model-arg", text)
    assert error.value.code == 2 and b"--model-arg: " in capsysbinary.readouterr().err


def test_output_that_cannot_be_made(refused, data, tmp_path):
    (tmp_path / "file").touch()
    base = ["--data", data, *TINY, "--epochs", 1, "--output"]
    assert f"--output {tmp_path}/file: " in refused("train-classifier", *base, tmp_path / "file")


@pytest.mark.parametrize(
    "command",
    [
        ["train-classifier", "--data", "d", "--model", "m", "--output", "o", "--epochs", 1],
        ["evaluate", "--path", "x.pt", "--data", "d"],
        ["predict", "--path", "x.pt", "image.png"],
    ],
)
def test_without_timm(refused, monkeypatch, command):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "image classifiers need timm" in refused(*command)


def test_a_full_gpu_is_said_in_a_line(ringformer, data, tmp_path, monkeypatch):
    from fairseq_ringformer.vision.training.trainer import Trainer

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore")

    monkeypatch.setattr(Trainer, "_epoch", full)
    status, _, err = ringformer("train-classifier", "--data", data, *TINY, "--output", tmp_path, "--epochs", 1)
    assert status == 2 and "out of GPU memory: lower --batch-size" in err.splitlines()[-1]


def test_interruption_says_that_it_goes_on(ringformer, data, tmp_path, monkeypatch):
    from fairseq_ringformer.vision.training.trainer import Trainer

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_step", interrupt)
    status, _, err = ringformer("train-classifier", "--data", data, *TINY, "--output", tmp_path, "--epochs", 1)
    assert status == 2 and err.endswith("interrupted; the same command goes on from the last checkpoint\n")


@pytest.mark.parametrize(
    "command",
    [
        ["train-classifier", "--model", "m", "--output", "o", "--epochs", "1"],
        ["evaluate", "--path", "absent.pt", "--data", "absent"],
    ],
)
def test_a_mistake_is_told_once_on_each_machine(ringformer, monkeypatch, capsysbinary, command):
    """The second machine of two may lack what the first has."""
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert ringformer(*command)[0] == 2
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SystemExit) as error:
        ringformer(*command)
    assert error.value.code == 2 and capsysbinary.readouterr().err == b""
