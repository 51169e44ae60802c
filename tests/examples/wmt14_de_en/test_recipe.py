"""The recipe's real command lines, from archives to a sacreBLEU line."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from corpus import number_words

from tests.examples.wmt14_de_en.building import RECIPE, mirror, write_text

ROOT = RECIPE.parents[1]
QUICK = ROOT / "data/debian_de_en_quick/raw"
LINES = {"train": 3000, "valid": 60, "test": 41}
NARROW = ["--encoder-embed-dim", "32", "--encoder-ffn-embed-dim", "64"]


def succeed(*command, **more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **more}
    done = subprocess.run(list(map(str, command)), cwd=ROOT, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def small_mirror(tmp_path_factory):
    """A mirror of real text where there is some, of numbers in words where not."""
    folder = tmp_path_factory.mktemp("mirror")
    if QUICK.is_dir():
        splits = {}
        for split, count in LINES.items():
            files = (QUICK / f"{split}.{language}" for language in ("de", "en"))
            sides = [file.read_text(encoding="utf-8").split("\n")[:count] for file in files]
            splits[split] = list(zip(*sides))
    else:
        splits, _ = number_words.generate(("de", "en"), LINES, seed=1)
    write_text(folder / "raw", splits)
    mirror.make_mirror(folder / "raw", folder)
    return folder


def prepare(mirrored, output, *more):
    return succeed(
        RECIPE / "prepare.sh",
        "--mirror",
        mirrored,
        "--checksums",
        mirrored / mirror.CHECKSUMS,
        "--output",
        output,
        "--workers",
        2,
        *more,
    )


@pytest.fixture(scope="module")
def strong_data(small_mirror, tmp_path_factory):
    folder = tmp_path_factory.mktemp("strong")
    prepare(small_mirror, folder, "--recipe", "strong", "--vocab-size", 600)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("subwords", ["sentencepiece", "subword-nmt", "wordpiece"])
def test_from_archives_to_bleu(small_mirror, tmp_path, subwords):
    data, run = tmp_path / "data", tmp_path / "run"
    if subwords == "wordpiece":
        from fairseq_ringformer.text.wordpieces import WordPieces

        vocabulary = WordPieces.train([small_mirror / f"raw/train.{language}" for language in ("de", "en")], 600)
        vocabulary.save(tmp_path / "tokenizer.json")
        options, batch = ["--recipe", "paper", "--wordpiece-model", tmp_path / "tokenizer.json"], 16
        symbols = len(vocabulary)
    else:
        options, batch = ["--recipe", "strong", "--subwords", subwords, "--vocab-size", 600], 1000
        symbols = None
    out = prepare(small_mirror, data, *options)
    assert "newstest2014" in out and out.count(": done\n") == 3
    assert prepare(small_mirror, data, *options).count(": was done already\n") == 3
    entries = len((data / "bin/dict.de.txt").read_text(encoding="utf-8").splitlines()) + 4
    assert entries == symbols if symbols else 300 < entries <= 608

    train = [RECIPE / "train.sh", *"--model ringformer --size tiny --gpus 0 --processes 2".split(), *NARROW]
    train += ["--data", data, "--output", run, "--effective-batch", batch, "--save-interval-updates", 3]
    assert re.search(r"train.sh: 2 processes x \d+ \w+ x update-freq 1", succeed(*train, "--max-update", 6))
    assert "Loaded checkpoint" in succeed(*train, "--max-update", 9)
    averaged = run / "averaged.pt"
    succeed(
        Path(sys.executable).parent / "ringformer",
        "average",
        "--dir",
        run / "checkpoints",
        "--last",
        3,
        "--by",
        "update",
        "--output",
        averaged,
    )
    for beam in (1, 4):
        out = succeed(RECIPE / "evaluate.sh", "--data", data, "--path", averaged, "--beam", beam, "--max-len-b", 20)
        scores = json.loads((run / "scores.json").read_text())
        assert scores["sentences"] == LINES["test"]
        assert f"BLEU {scores['BLEU']:.2f}   nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in out


@pytest.mark.slow
def test_two_machines_train_one_model(strong_data, tmp_path):
    """Two torchruns of one process each, as on two machines, do what two processes of one torchrun do."""
    flags = [RECIPE / "train.sh", "--data", strong_data, *"--model ringformer --size tiny --gpus 0".split(), *NARROW]
    flags += "--effective-batch 1000 --max-update 4 --dropout 0 --activation-dropout 0".split()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = {
        "NNODES": "2",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    machines = [
        subprocess.Popen(
            [*map(str, flags), "--processes", "1", "--output", str(tmp_path / "two")],
            cwd=ROOT,
            env={**os.environ, **environment, "NODE_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    outputs = [machine.communicate(timeout=500)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], outputs[0][-2000:] + outputs[1][-2000:]
    succeed(*flags, "--processes", 2, "--output", tmp_path / "one")

    import torch

    two, one = (
        torch.load(tmp_path / name / "checkpoints/checkpoint_last.pt", weights_only=False)["model"]
        for name in ("two", "one")
    )
    assert two.keys() == one.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-5, atol=1e-6)
