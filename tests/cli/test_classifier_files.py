"""fold and export of image classifiers, as commands."""

import json
import os
import subprocess
import sys

import numpy
import onnx
import onnxruntime
import pytest
import timm
import torch

from fairseq_ringformer.files import write_checkpoint
from fairseq_ringformer.vision.checkpoint import load_classifier
from tests.vision.models import small

ARGS = dict(embed_dim=32, ffn_dim=48, depth=2, num_heads=4, patch_size=8, img_size=16)
INPUT = dict(size=(1, 16, 16), mean=(0.3,), std=(0.25,), interpolation="bicubic", crop_pct=1.0)


def checkpoint(path, name="vit_ring_tiny_patch4_28", **args):
    model = small(name, **{**ARGS, **args})
    state = dict(arch=name, model_args={**ARGS, **args}, num_classes=5, classes=list("abcde"), input=INPUT)
    write_checkpoint({**state, "state_dict": model.state_dict(), "epoch": 3, "training": {"optimizer": 1}}, str(path))
    return model


@pytest.fixture
def ring(tmp_path):
    return tmp_path / "ring.pt", checkpoint(tmp_path / "ring.pt")


def test_timm_alone_loads_the_folded_checkpoint(ring, ringformer, tmp_path):
    path, model = ring
    status, out, err = ringformer("fold", "--path", path, "--output", tmp_path / "folded.pt")
    assert (status, err) == (0, "")
    count = sum(parameter.numel() for parameter in model.parameters())
    assert out.startswith(
        f"vit_ring_tiny_patch4_28 of {count:,} parameters, 0.1 MB: folded into timm's VisionTransformer of "
    )
    x = torch.randn(3, 1, 16, 16)
    numpy.save(tmp_path / "x.npy", x.numpy())
    code = (
        "import sys; sys.modules['fairseq_ringformer'] = sys.modules['fairseq'] = None\n"
        "import numpy, timm, torch\n"
        "folder = sys.argv[1]; state = torch.load(folder + '/folded.pt', weights_only=True)\n"
        "model = timm.create_model(state['arch'], **state['model_args'], checkpoint_path=folder + '/folded.pt').eval()\n"
        "assert 'training' not in state and state['classes'] == list('abcde') and state['epoch'] == 3\n"
        "numpy.save(folder + '/y.npy', model(torch.from_numpy(numpy.load(folder + '/x.npy'))).detach().numpy())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(numpy.load(tmp_path / "y.npy")), model(x), rtol=0, atol=1e-5)
        torch.testing.assert_close(load_classifier(str(tmp_path / "folded.pt"))[0](x), model(x), rtol=0, atol=1e-5)


def test_onnxruntime_runs_the_exported_model(ring, ringformer, tmp_path):
    path, model = ring
    status, out, err = ringformer("export", "--to", "onnx", "--path", path, "--output", tmp_path / "ring.onnx")
    assert (status, err) == (0, "") and "folded, " in out and "of torch's, written to" in out
    assert sorted(os.listdir(tmp_path)) == ["ring.onnx", "ring.pt"]
    session = onnxruntime.InferenceSession(str(tmp_path / "ring.onnx"))
    x = torch.randn(4, 1, 16, 16)
    (logits,) = session.run(["logits"], {"image": x.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(logits), model(x), rtol=0, atol=1e-4)
    info = {own.key: json.loads(own.value) for own in onnx.load(str(tmp_path / "ring.onnx")).metadata_props}
    assert info["classes"] == list("abcde") and info["input"]["mean"] == [0.3]


def test_what_does_not_fold_is_exported_as_it_is(ringformer, refused, tmp_path):
    path, output = tmp_path / "universal.pt", tmp_path / "out"
    checkpoint(path, "vit_universal_tiny_patch4_28")
    assert "static signals (Universal Transformer) do not fold" in refused("fold", "--path", path, "--output", output)
    status, out, _ = ringformer("export", "--to", "onnx", "--path", path, "--output", output)
    assert status == 0 and "folded" not in out


def test_mistakes(ring, ringformer, refused, tmp_path):
    path, _ = ring
    onnx_file, text = ("export", "--to", "onnx", "--output", tmp_path / "a.onnx"), tmp_path / "text.pt"
    assert "no such checkpoint" in refused(*onnx_file, "--path", tmp_path / "none.pt")
    assert "--data is for translators: leave it out with --to onnx" in refused(
        *onnx_file, "--path", path, "--data", "x"
    )
    torch.save({"model": {}}, text)
    assert "translators are exported --to ctranslate2" in refused(*onnx_file, "--path", text)
    assert "classifiers are exported --to onnx" in refused(
        "export", "--to", "ctranslate2", "--path", path, "--output", "x"
    )
    assert not (tmp_path / "a.onnx").exists()
    (tmp_path / "a.onnx").write_text("mine")
    assert "exists: name another file, or add --force" in refused(*onnx_file, "--path", path)
    assert (tmp_path / "a.onnx").read_text() == "mine"
    state = torch.load(path, weights_only=True)
    torch.save({**state, "arch": "vit_vanilla_tiny_patch4_28"}, text)
    assert "its weights are not those of vit_vanilla_tiny_patch4_28" in refused("fold", "--path", text, "--output", "y")
    assert ringformer("fold", "--path", path, "--output", tmp_path / "f.pt")[0] == 0
    message = refused("fold", "--path", tmp_path / "f.pt", "--output", tmp_path / "g.pt")
    assert "it is timm's own vit_base_patch16_224 already, there is nothing to fold" in message
    assert timm.is_model(torch.load(tmp_path / "f.pt", weights_only=True)["arch"])
