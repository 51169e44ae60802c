import os
import re
import subprocess
import sys

import pytest
import torch

# fairseq-generate where the plug-in cannot be imported.
STOCK = "import sys; sys.modules['fairseq_ringformer'] = None; from fairseq_cli.generate import cli_main; cli_main()"


def hypotheses(toy, path, *flags):
    """What fairseq-generate finds for the validation set: sentence to score and text."""
    command = [sys.executable, *flags, str(toy.data), "--path", str(path), "--gen-subset", "valid", "--cpu"]
    command += ["--num-workers", "0", "--required-batch-size-multiple", "1", "--beam", "4"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert finished.returncode == 0, finished.stderr
    rows = re.findall(r"^H-(\d+)\t(\S+)\t(.*)$", finished.stdout, re.MULTILINE)
    return {int(number): (text, float(score)) for number, score, text in rows}


def test_fairseq_alone_translates_as_with_the_ring(toy, ringformer, tmp_path):
    mean, folded = tmp_path / "mean.pt", tmp_path / "folded.pt"
    assert ringformer("average", "--dir", toy.run, "--last", 2, "--by", "epoch", "--output", mean)[0] == 0
    status, out, err = ringformer("fold", "--path", mean, "--output", folded)
    assert (status, err) == (0, "") and sorted(os.listdir(tmp_path)) == ["folded.pt", "mean.pt"]
    pattern = r"ringformer_tiny of [\d,]+ parameters, 0.\d MB: folded into a transformer of [\d,]+, 0.\d MB, "
    assert re.fullmatch(pattern + f"written to {folded}\n", out)
    user_dir = os.path.join(os.path.dirname(__file__), "../../fairseq_ringformer")
    ring = hypotheses(toy, mean, "-m", "fairseq_cli.generate", "--user-dir", user_dir)
    plain = hypotheses(toy, folded, "-c", STOCK)
    assert len(ring) == 10 and {n: text for n, (text, _) in ring.items()} == {n: text for n, (text, _) in plain.items()}
    assert all(plain[n][1] == pytest.approx(score, abs=1e-5) for n, (_, score) in ring.items())


def test_a_training_checkpoint_becomes_plain(toy, ringformer, tmp_path):
    assert ringformer("fold", "--path", toy.run / "checkpoint_last.pt", "--output", tmp_path / "folded.pt")[0] == 0
    # No fairseq and no plug-in has told torch what is safe to load here.
    code = "import sys, torch; state = torch.load(sys.argv[1], weights_only=True); print(sorted(state), state['args'])"
    command = [sys.executable, "-I", "-c", code, str(tmp_path / "folded.pt")]
    out = subprocess.run(command, capture_output=True, text=True, timeout=60)
    names = ["args", "cfg", "criterion", "extra_state", "model", "optimizer_history", "task_state"]
    assert out.stdout.strip() == f"{names} None", out.stderr


def test_counts_are_those_of_the_stock_model(toy, ringformer, tmp_path):
    from fairseq import checkpoint_utils

    _, out, _ = ringformer("fold", "--path", toy.run / "checkpoint_last.pt", "--output", tmp_path / "folded.pt")
    overrides = {"data": str(toy.data)}
    sizes = []
    for path in (toy.run / "checkpoint_last.pt", tmp_path / "folded.pt"):
        (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(path)], arg_overrides=overrides)
        sizes.append(sum(weight.numel() for weight in model.parameters()))
    assert f"of {sizes[0]:,} parameters" in out and f"transformer of {sizes[1]:,}," in out


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"model": {"_name": "lstm"}}, "its architecture is lstm: neither one of this plug-in nor fairseq's"),
        (None, "its architecture is None"),
    ],
)
def test_what_is_no_ring_is_refused(toy, refused, tmp_path, settings, text):
    state = torch.load(toy.run / "checkpoint_last.pt", weights_only=True)
    torch.save({**state, "cfg": settings}, tmp_path / "other.pt")
    message = refused("fold", "--path", tmp_path / "other.pt", "--output", tmp_path / "folded.pt")
    assert "other.pt: " in message and text in message and os.listdir(tmp_path) == ["other.pt"]


def test_a_folded_ring_is_not_folded_again(toy, ringformer, refused, tmp_path):
    path, output = toy.run / "checkpoint_last.pt", tmp_path / "folded.pt"
    assert "is to be read: write to another file" in refused("fold", "--path", path, "--output", path)
    assert ringformer("fold", "--path", path, "--output", output)[0] == 0
    message = refused("fold", "--path", output, "--output", tmp_path / "again.pt")
    assert "it is fairseq's own transformer already, there is nothing to fold" in message
    assert not (tmp_path / "again.pt").exists()
