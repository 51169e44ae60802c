"""A row of one's own, with an option of its own, beside a criterion of one's own: every command takes it."""

import json
import os
import subprocess
import sys

import pytest
import torch

from fairseq_ringformer import __file__ as package
from tests.cli.test_train import FLAGS

OWN = """
from dataclasses import dataclass, field
from functools import partial

from fairseq.criterions import register_criterion
from fairseq.criterions.cross_entropy import CrossEntropyCriterion
from fairseq.models import register_model, register_model_architecture

from fairseq_ringformer.models.config import RingFormerConfig
from fairseq_ringformer.models.ringformer import RingFormerModel, set_sizes
from fairseq_ringformer.modules import Architecture, Row

OUT = Row("one", "one", "one", norm="own", signal="low-rank", signals={{"self_attn.out_proj": "after"}})


@dataclass
class OutConfig(RingFormerConfig):
    loudness: float = field(default=2.0, metadata={{"help": "of one's own"}})


@register_model("{name}", dataclass=OutConfig)
class OutModel(RingFormerModel):
    architecture = Architecture(OUT, OUT)


register_model_architecture("{name}", "{name}_tiny")(partial(set_sizes, size="tiny"))


@register_criterion("{name}_loss")
class Loss(CrossEntropyCriterion):
    pass
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("users") / "own_ring"
    folder.mkdir()
    (folder / "__init__.py").write_text(OWN.format(name="own_ring"))
    return folder


@pytest.mark.slow
def test_every_command_knows_it(toy, own, ringformer, tmp_path):
    """Trained, averaged, folded, exported and used to translate, in one process and as its user types it."""
    assert "unknown architecture 'own_ring_tiny'" in ringformer("params", "--arch", "own_ring_tiny")[2]
    user = ("--user-dir", own)
    status, out, _ = ringformer(*user, "params", "--arch", "own_ring_tiny", "--loudness", "3", "--json")
    (row,) = json.loads(out)
    (signals,) = (part for part in row["parts"] if part["part"] == "encoder signals")
    assert status == 0 and signals["per_level"] == 2 * 192 * 12  # one projection alone
    words = [toy.data, *FLAGS, "--arch", "own_ring_tiny", "--criterion", "own_ring_loss", "--loudness", "3"]
    words += ["--cpu", "--save-dir", tmp_path / "run"]
    assert ringformer("train", *words, *user)[0] == 0
    last, mean, folded = tmp_path / "run/checkpoint_last.pt", tmp_path / "mean.pt", tmp_path / "folded.pt"
    assert torch.load(last, weights_only=True)["cfg"]["model"]["loudness"] == 3
    assert ringformer("average", last, "--output", mean)[0] == 0
    command = [sys.executable, "-m", "fairseq_ringformer.cli.main"]
    done = subprocess.run(
        [*command, "fold", "--path", mean, "--output", folded], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2 and "its architecture is own_ring_tiny" in done.stderr
    assert "ringformer --user-dir DIR, the folder that registers it" in done.stderr
    for words in (
        ["fold", "--path", mean, "--output", folded],
        ["export", "--path", mean, "--to", "ctranslate2", "--output", tmp_path / "ct2"],
        ["translate", "--path", mean, "--output", tmp_path / "out.txt", "eins zwei."],
    ):
        done = subprocess.run([*command, "--user-dir", own, *words], capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out.txt").read_text().splitlines()) == 1
    assert torch.load(folded, weights_only=True)["cfg"]["model"]["_name"] == "transformer"


def test_folders_are_refused_by_name(refused, ringformer, tmp_path):
    params = ("params", "--arch", "ringformer_tiny")
    assert "--user-dir nowhere: no such folder" in refused(*params, "--user-dir", "nowhere")
    for name, text, message in (
        ("broken_one", "import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("broken_two", "x = (", "SyntaxError: "),
        ("json", "", "is not globally unique"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
        complaint = refused(*params, "--user-dir", tmp_path / name)
        assert f"--user-dir {tmp_path / name} cannot be imported: " in complaint and message in complaint
        assert "__init__.py, line 1)" in complaint or name == "json"
    assert ringformer(*params, "--user-dir", os.path.dirname(package))[0] == 0  # ours is there already
    several = refused("train", "data", "--user-dir", own_copy(tmp_path, "a1"), "--user-dir", own_copy(tmp_path, "b1"))
    assert "fairseq-train takes one --user-dir" in several


def own_copy(folder, name):
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("")
    return folder / name
