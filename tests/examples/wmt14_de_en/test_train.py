"""train.sh from its command line, up to the command that it prints: batches, settings, machines, mistakes."""

import json
import shlex

import pytest
from wmt14 import training

from tests.examples.wmt14_de_en.building import load

train = load("train")


@pytest.fixture
def prepared(tmp_path):
    """Folders that look prepared for the two recipes."""
    for recipe in training.BATCHES:
        (tmp_path / recipe / "bin").mkdir(parents=True)
        for file in ("bin/dict.de.txt", "bin/dict.en.txt", "model"):
            (tmp_path / recipe / file).touch()
        details = {
            "recipe": recipe,
            "source_lang": "de",
            "target_lang": "en",
            "raw": "raw",
            "bin": "bin",
            "bpe": "sentencepiece",
            "bpe_model": "model",
        }
        (tmp_path / recipe / "recipe.json").write_text(json.dumps(details))
    return tmp_path


@pytest.fixture
def dry_run(prepared, capsys, monkeypatch):
    """The words of the command that train.sh would run for a recipe."""
    for name in ("NNODES", "SLURM_NNODES"):
        monkeypatch.delenv(name, raising=False)

    def command(recipe, *more):
        arguments = ["--data", str(prepared / recipe), "--output", str(prepared / "run"), "--dry-run", *map(str, more)]
        assert train.main(["--model", "ringformer", *arguments]) == 0
        line, summary = capsys.readouterr().out.splitlines()
        command.summary = summary
        return shlex.split(line)

    return command


def value(words, flag):
    return words[len(words) - 1 - words[::-1].index(flag) + 1]


@pytest.mark.parametrize(
    "model, size, recipe", [("ringformer", "base", "paper"), ("vanilla_transformer", "tiny", "strong")]
)
def test_the_batch_of_an_update_is_the_same_on_any_number_of_gpus(dry_run, monkeypatch, model, size, recipe):
    for nodes, gpus in ((1, 1), (1, 2), (1, 4), (1, 8), (2, 8), (4, 8)):
        for name, content in {"NNODES": nodes, "NODE_RANK": 1, "MASTER_ADDR": "first"}.items():
            if nodes > 1:
                monkeypatch.setenv(name, str(content))
        words = dry_run(recipe, "--model", model, "--size", size, "--gpus", gpus)
        processes = nodes * gpus
        assert value(words, "--arch") == f"{model}_{size}"
        assert value(words, "--distributed-world-size") == str(processes)
        batch = training.BATCHES[recipe]
        each, turns = int(value(words, batch.flag)), int(value(words, "--update-freq"))
        assert processes * each * turns == batch.total == {"paper": 512, "strong": 32768}[recipe]
        assert each <= batch.at_a_time and dry_run.summary.endswith(f" = {batch.total} {batch.unit} an update")
        assert ("torchrun" in words) == (processes > 1) and "--cpu" not in words
        assert ("--node_rank" in words) == (nodes > 1) == ("--standalone" not in words and processes > 1)


@pytest.mark.parametrize(
    "recipe, size, more, expected",
    [
        ("paper", "base", [], {"--lr": "0.0007", "--max-update": "210000", "--warmup-updates": "17000"}),
        (
            "paper",
            "large",
            ["--steps", "section4"],
            {"--lr": "0.0002", "--max-update": "830000", "--warmup-updates": "40000"},
        ),
        (
            "paper",
            "base",
            ["--lr", "1e-3"],
            {"--lr": "1e-3", "--lr-scheduler": "cosine", "--criterion": "cross_entropy"},
        ),
        ("strong", "base", ["--seed", 7], {"--lr": "7e-4", "--dropout": "0.1", "--seed": "7", "--autocast": "bf16"}),
        ("strong", "large", [], {"--lr": "5e-4", "--dropout": "0.3", "--label-smoothing": "0.1"}),
    ],
)
def test_settings(dry_run, recipe, size, more, expected):
    words = dry_run(recipe, "--size", size, "--gpus", 1, *more)
    assert words[0] == "fairseq-train" and {flag: value(words, flag) for flag in expected} == expected
    assert ("--output-bias" in words, "--share-all-embeddings" in words) == (recipe == "paper", recipe == "strong")


def test_two_processes_on_a_cpu(dry_run):
    words = dry_run("strong", "--gpus", 0, "--processes", 2, "--max-tokens", 1000, "--effective-batch", 6000)
    assert dry_run.summary == "# 2 processes x 1000 tokens x update-freq 3 = 6000 tokens an update"
    assert words[:6] == ["torchrun", "--nproc_per_node", "2", "--standalone", "--no-python", "bash"]
    assert "--cpu" in words and value(words, "--distributed-backend") == "gloo" and "--autocast" not in words
    words = dry_run("paper", "--gpus", 0, "--processes", 1, "--batch-size", 100)
    assert words[0] == "fairseq-train" and words[-1] == "--cpu" and "--distributed-world-size" not in words
    assert dry_run.summary == "# 1 process x 64 sentences x update-freq 8 = 512 sentences an update"


def test_fairseq_understands_the_flags(dry_run):
    from fairseq import options

    import fairseq_ringformer.models  # noqa: F401  registers them

    for recipe in training.BATCHES:
        words = dry_run(recipe, "--gpus", 8)
        flags = words[words.index("fairseq-train", 7) + 1 :]
        args = options.parse_args_and_arch(options.get_training_parser(), input_args=flags)
        assert args.arch == "ringformer_base" and args.encoder_embed_dim == 512 and args.distributed_world_size == 8
        assert args.update_freq == [1] and args.keep_interval_updates == 10


NODES = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "first"}
SLURM = {"SLURM_NNODES": "2", "SLURM_NODEID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_NODELIST": "n[1-2]"}


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, {}),
        ({"NNODES": "1"}, {}),
        ({"SLURM_NNODES": "1"}, {}),
        (NODES, {"nodes": 2, "rank": 1, "address": "first", "port": "29500"}),
        ({**NODES, "MASTER_PORT": "1"}, {"nodes": 2, "rank": 1, "address": "first", "port": "1"}),
        (SLURM, {"nodes": 2, "rank": 1, "address": "n1", "port": "29500"}),
        ({**SLURM, "MASTER_ADDR": "other"}, {"nodes": 2, "rank": 1, "address": "other", "port": "29500"}),
    ],
)
def test_machines(environment, expected):
    assert training.find_nodes(environment, lambda hosts: {"n[1-2]": "n1"}[hosts]) == expected


@pytest.mark.parametrize(
    "environment, message",
    [
        (
            {**NODES, "NODE_RANK": "2"},
            "2 machines need MASTER_ADDR (the name of the first) and NODE_RANK (0 to 1) on each",
        ),
        ({"NNODES": "two"}, "NNODES and NODE_RANK, or SLURM's variables, are not numbers"),
        ({"SLURM_NNODES": "2"}, "SLURM gave several machines: start train.sh with srun --ntasks-per-node 1"),
    ],
)
def test_machines_that_are_not_told_apart(refused, environment, message):
    assert refused(training.find_nodes, environment, None).startswith(message)


@pytest.mark.parametrize(
    "recipe, arguments, message",
    [
        (
            "paper",
            ["--recipe", "strong"],
            "was prepared for --recipe paper: prepare another folder for --recipe strong",
        ),
        ("paper", ["--max-tokens", "9"], "--max-tokens belongs to --recipe strong, this is paper"),
        ("strong", ["--gpus", "2", "--processes", "2"], "--processes is for CPUs: add --gpus 0"),
        ("paper", ["--gpus", "3"], "512 sentences an update cannot be divided among 3 processes"),
        ("nowhere", [], "holds no data of WMT-14: run examples/wmt14_de_en/prepare.sh --output"),
    ],
)
def test_trainings_that_cannot_be(prepared, capsys, recipe, arguments, message):
    base = ["--model", "ringformer", "--data", str(prepared / recipe), "--output", str(prepared / "run")]
    assert train.main([*base, "--gpus", "1", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("train.sh: ") and message in error and error.count("\n") == 1
    assert not (prepared / "run").exists()


def test_what_is_trained_is_not_trained_on(prepared, capsys, monkeypatch):
    from fairseq_ringformer.files import write_checkpoint

    run = prepared / "run"
    (run / "checkpoints").mkdir(parents=True)
    last = run / "checkpoints/checkpoint_last.pt"
    write_checkpoint({"model": {}, "optimizer_history": [{"num_updates": 50}]}, str(last))
    started = []
    monkeypatch.setattr(train.os, "execvpe", lambda *words: started.append(words))
    checked = []
    monkeypatch.setattr("fairseq_ringformer.models.training.check", checked.append)
    monkeypatch.setattr(train.shutil, "which", lambda name: name)
    base = ["--model", "ringformer", "--data", str(prepared / "strong"), "--output", str(run), "--gpus", "0"]
    assert train.main([*base, "--max-update", "50"]) == 0 and not started
    assert capsys.readouterr().out == f"train.sh: {run} is trained already: 50 updates\n"
    assert train.main([*base, "--max-update", "51"]) == 0 and len(started) == 1
    assert train.main([*base, "--max-update=50"]) == 0 and len(started) == 1
    assert [cfg.optimization.max_update for cfg in checked] == [50, 51, 50]


def test_a_checkpoint_that_was_cut_gives_way_to_the_one_before(prepared, capsys, monkeypatch):
    from fairseq_ringformer.files import write_checkpoint

    checkpoints = prepared / "run/checkpoints"
    checkpoints.mkdir(parents=True)
    last, before = checkpoints / "checkpoint_last.pt", checkpoints / "checkpoint_1_40.pt"
    write_checkpoint({"model": {}, "optimizer_history": [{"num_updates": 40}]}, str(before))
    last.write_bytes(before.read_bytes()[:99])
    monkeypatch.setattr(train.os, "execvpe", lambda *words: pytest.fail("trained on"))
    monkeypatch.setattr("fairseq_ringformer.models.training.check", lambda cfg: None)
    monkeypatch.setattr(train.shutil, "which", lambda name: name)
    base = [
        "--model",
        "ringformer",
        "--data",
        str(prepared / "strong"),
        "--output",
        str(prepared / "run"),
        "--gpus",
        "0",
    ]
    assert train.main([*base, "--max-update", "40"]) == 0
    assert capsys.readouterr().out.endswith("is trained already: 40 updates\n")
    assert last.read_bytes() == before.read_bytes()
    write_checkpoint({"model": {}}, str(last))
    assert train.main(base) == 1
    assert capsys.readouterr().err == f"train.sh: {last}: no checkpoint of fairseq-train\n"


def test_gpus_that_are_not_there(prepared, capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(train.shutil, "which", lambda name: name)
    base = ["--model", "ringformer", "--data", str(prepared / "paper"), "--output", str(prepared / "run")]
    assert train.main([*base, "--gpus", "2"]) == 1
    assert capsys.readouterr().err == "train.sh: --gpus 2: this machine has 1 (--gpus 0 trains on the CPU)\n"


@pytest.mark.parametrize("flag", ["--arch", "--update-freq=2", "--cpu"])
def test_flags_that_the_script_computes(prepared, capsys, flag):
    with pytest.raises(SystemExit):
        train.main(["--model", "ringformer", "--data", str(prepared / "paper"), "--output", "run", flag])
    assert f"error: {flag.split('=')[0]} is computed: use " in capsys.readouterr().err
