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


@pytest.mark.slow  # every measure, in processes of their own: 40 seconds
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
    assert found["data"] == "lengths of a distribution fitted to the Debian quick set"
    assert [candidate["name"] for candidate in found["candidates"]] == ["stock transformer", "ringformer_tiny"]
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


@pytest.mark.slow  # every measure, in processes of their own: 40 seconds
def test_classifiers_are_measured_where_there_is_no_fairseq(tmp_path):
    """The whole command, memory in processes of its own included; fairseq cannot be imported."""
    (tmp_path / "fairseq.py").write_text("raise ImportError('fairseq was imported')")
    command = [sys.executable, "-m", "fairseq_ringformer.cli.main", "benchmark", "--arch", "vit_ring_tiny_patch4_28"]
    command += ["--images", "1", "--batch-size", "64", "--rounds", "1", "--threads", "1", "--mixed-precision", "bf16"]
    command += ["--json", tmp_path / "a.json", "--plot", tmp_path / "a.png"]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "arning" in line]
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["data"] == "random images of 1 x 28 x 28"
    names = [candidate["name"] for candidate in found["candidates"]]
    kinds = ("", " bf16", " folded")
    assert names == ["timm's VisionTransformer", *(f"vit_ring_tiny_patch4_28{kind}" for kind in kinds)]
    of = {}
    for result in found["results"]:
        of.setdefault(f"{result['measure']}, {result['setting']}", []).append(result)
    assert {key: [result["candidate"] for result in results] for key, results in of.items()} == {
        "training, 1 images a batch": names[:3],
        "peak share, training, of float32 products": names[:2],
        "peak share, training, of bfloat16 products": names[2:3],
        "inference, batch 64": names,
        "memory, training, peak": names[:3],
        "memory, training, peak without imports": names[:3],
        "checkpoint, whole": names[:3],
        "checkpoint, without embeddings and head": names[:3],
    }
    assert "inference: batch 64" in done.stdout and "random images of 1 x 28 x 28, seed 1, 1 rounds" in done.stdout
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_measure_alone_needs_no_other(ringformer):
    status, out, _ = ringformer("benchmark", "--size", "small", "--measure", "checkpoint", "--rounds", 1)
    assert status == 0
    lines = out.splitlines()
    inner = next(number for number, line in enumerate(lines) if line.startswith("checkpoint: without embeddings"))
    assert 1 / 5 < float(lines[inner + 1].split()[-1]) < 1 / 4.8
    assert not [line for line in lines if line.startswith(("training", "generation", "memory"))]


def test_classifiers_need_timm(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "run scripts/setup.sh vision" in refused("benchmark", "--arch", "vit_ring_tiny_patch4_28")


VISION = "--arch vit_ring_tiny_patch4_28"


@pytest.mark.parametrize(
    "flags, message",
    (
        (
            f"{VISION} --size tiny --max-tokens 64",
            "--size --max-tokens: not for vit_ring_tiny_patch4_28; such flags are",
        ),
        (f"{VISION} --dropout 0.2", "--dropout 0.2: not for vit_ring_tiny_patch4_28; such flags are for translation"),
        (f"{VISION} --measure generation", "--measure generation: choose training, inference, memory or checkpoint"),
        (f"{VISION} --measure inference --images 8", "--images is for training and memory, which --measure leaves out"),
        (f"{VISION} --against vit_round", "--against vit_round: timm has no such model"),
        ("--arch vit_round", "unknown model 'vit_round': choose one of vit_vanilla_512_l6_patch16_224"),
        ("--images 4", "--images: not for translation models; such flags are for image classifiers"),
        ("--measure memory --ctranslate2 int8", "--ctranslate2 is for generation, which --measure leaves out"),
        ("--translators 2", "--translators are CTranslate2's: add --ctranslate2 TYPE"),
        ("--precision fp16 --autocast bf16", "--precision fp16 is of both sides, --autocast compares with float32"),
        (
            "--precision bf16",
            "--precision bf16: fairseq trains in it on a GPU alone: add --device cuda, or --measure gen",
        ),
        ("--measure checkpoint --precision bf16", "--precision is for training and generation and memory, which"),
        (
            "--measure checkpoint --data x",
            "--data is for training and generation and memory, which --measure leaves out",
        ),
        ("--measure generation --compile", "--compile is for training and memory, which --measure leaves out"),
        ("--arch transformer --compile", "--compile compiles the stacks of a model of this package, which transformer"),
        (f"{VISION} --compile", "--compile: not for vit_ring_tiny_patch4_28; such flags are for translation models"),
        ("--against ring", "unknown architecture 'ring': choose one of fairseq's"),
        ("--signal-rank 4", 'for ringformer_base alone, write --own-flags="--signal-rank 4"'),
        ("--own-flags='", "--own-flags ': No closing quotation"),
        ("--data absent", "absent: no such data folder"),
        ("--plot ratios.txt", "--plot ratios.txt: it is a PNG, end its name in .png"),
        ("--json absent/a.json", "absent: no such folder for --json"),
        ("--encoder-attention-heads 7", "ringformer_base cannot be built: encoder: embed_dim 512 is not divisible"),
    ),
)
def test_mistakes_are_refused_before_any_work(refused, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused("benchmark", *flags.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "flags", ("--rounds 0", "--size huge", "--autocast fp8", "--ctranslate2 int3", "--beam 5 0", "--seed -1")
)
def test_impossible_values_are_refused(ringformer, flags):
    with pytest.raises(SystemExit):
        ringformer("benchmark", *flags.split())


def test_a_gpu_that_is_not_there_is_refused(refused, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "--device cuda: torch finds no GPU here" in refused("benchmark", "--device", "cuda")
