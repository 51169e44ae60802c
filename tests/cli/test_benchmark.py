import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALLEST = (
    "--size tiny --encoder-embed-dim 16 --encoder-ffn-embed-dim 32 --encoder-layers 2 --decoder-layers 2 "
    "--encoder-attention-heads 2 --decoder-attention-heads 2 --vocab-size 40 --max-tokens 64 --rounds 2 --threads 1 "
    "--batch-size 4 1 --beam 2 1"
).split()


def test_the_command_measures_both_and_writes_what_it_found(tmp_path):
    """The whole command, memory in processes of its own included."""
    command = [sys.executable, "-m", "fairseq_ringformer.cli.main", "benchmark", *SMALLEST, "--profile"]
    command += ["--json", tmp_path / "a.json", "--plot", tmp_path / "a.png"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Progress, not what fairseq, Hydra and torch have to say.
    assert not [line for line in done.stderr.splitlines() if "arning" in line or "hydra" in line]
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["data"] == "a distribution fitted to the Debian quick set"
    assert [contender["name"] for contender in found["contenders"]] == ["stock transformer", "ringformer_tiny"]
    settings = [(result["measure"], result["setting"]) for result in found["results"]]
    assert list(dict.fromkeys(settings)) == [
        ("training", "cross_entropy, 64 tokens a batch"),
        ("peak share", "training, of float32 products"),
        *(("generation", f"{search}, batch {size}") for size in (4, 1) for search in ("beam 2", "greedy")),
        ("memory", "training, peak"),
        ("memory", "training, peak without imports"),
        ("checkpoint", "whole"),
        ("checkpoint", "without embeddings and head"),
    ]
    for baseline, ours in zip(found["results"][::2], found["results"][1::2]):
        assert (baseline["ratio"], ours["ratio"]) == (1.0, pytest.approx(ours["value"] / baseline["value"]))
        if baseline["rounds"]:
            assert len(baseline["rounds"]) == len(ours["seconds"]) == 2
            work = [a * b for row in (baseline, ours) for a, b in zip(row["rounds"], row["seconds"])]
            assert work == pytest.approx([work[0]] * 4)
    assert list(found["profiles"]) == ["training", "generation, beam 2, batch 4"]
    assert "checkpoint: without embeddings and head" in done.stdout and "feed-forward" in done.stdout
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_measure_alone_needs_no_other(ringformer):
    status, out, _ = ringformer("benchmark", "--size", "small", "--measure", "checkpoint", "--rounds", 1)
    assert status == 0
    lines = out.splitlines()
    inner = next(number for number, line in enumerate(lines) if line.startswith("checkpoint: without embeddings"))
    assert 1 / 5 < float(lines[inner + 1].split()[-1]) < 1 / 4.8
    assert not [line for line in lines if line.startswith(("training", "generation", "memory"))]


@pytest.mark.parametrize("flags, message", (
    ("--size huge", "--size huge: choose tiny, small, base or large"),
    ("--arch ring", "unknown architecture 'ring': choose one of fairseq's"),
    ("--against ring", "unknown architecture 'ring': choose one of fairseq's"),
    ("--signal-rank 4", 'for ringformer_base alone, write --own-flags="--signal-rank 4"'),
    ("--own-flags=--beak", "ringformer_base does not know --beak"),
    ("--own-flags='", "--own-flags ': No closing quotation"),
    ("--rounds 0", "--rounds must be at least 1"),
    ("--beam 5 0", "--beam must be at least 1"),
    ("--threads 0", "--threads must be at least 1"),
    ("--measure speed", "--measure speed: choose training, generation, memory or checkpoint"),
    ("--criterion ctc", "--criterion ctc: choose cross_entropy or label_smoothed_cross_entropy"),
    ("--autocast fp8", "--autocast fp8: choose none or bf16"),
    ("--data absent", "absent: no such data folder"),
    ("--data .", "holds no data of fairseq-preprocess"),
    ("--json absent/a.json", "absent/a.json: no such folder absent: create it first"),
    ("--plot .", ". is a folder: name a file"),
    ("--vocab-size 3", "a vocabulary of 3 is too small"),
    ("--encoder-attention-heads 7", "ringformer_base cannot be built: encoder: embed_dim 512 is not divisible"),
))
def test_mistakes_are_refused_before_any_work(refused, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused("benchmark", *flags.split())
    assert not list(tmp_path.iterdir())


def test_a_gpu_that_is_not_there_is_refused(refused, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "--device cuda: torch finds no GPU here" in refused("benchmark", "--device", "cuda")
