"""A checkpoint that has left its data behind: it carries languages, dictionaries and sub-words."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.models.assets import KEY, assets_of
from tests.cli.dictionaries import turn

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEXT = "eins zwei drei."


@pytest.fixture(scope="module")
def alone(toy, tmp_path_factory):
    """Checkpoints in a folder of nothing else: a training's, an average and a folded one."""
    from fairseq_ringformer.cli.main import main

    folder = tmp_path_factory.mktemp("alone")
    shutil.copy(toy.run / "checkpoint_last.pt", folder / "last.pt")
    assert main(["average", str(folder / "last.pt"), "--output", str(folder / "mean.pt")]) == 0
    assert main(["fold", "--path", str(folder / "mean.pt"), "--output", str(folder / "folded.pt")]) == 0
    return folder


def test_what_a_training_writes(toy):
    assets = assets_of(torch.load(toy.run / "checkpoint_last.pt", weights_only=True))
    assert assets["languages"] == ["de", "en"]
    assert assets["dictionaries"] == [(toy.data / f"dict.{language}.txt").read_text() for language in ("de", "en")]
    assert assets["recipe"]["bpe"] == "sentencepiece" and list(assets["files"]) == ["toy.model"]
    assert assets["files"]["toy.model"].numpy().tobytes() == (toy.root / "toy.model").read_bytes()


@pytest.mark.parametrize("name", ["last.pt", "mean.pt", "folded.pt"])
def test_it_translates_and_is_exported_alone(toy, alone, ringformer, tmp_path, name):
    with_data = ringformer("translate", "--path", alone / name, "--data", toy.data, TEXT)
    assert with_data[0] == 0 and with_data == ringformer("translate", "--path", alone / name, TEXT)
    exported = [tmp_path / "with", tmp_path / "without"]
    for folder, flags in zip(exported, (("--data", toy.data), ())):
        words = ("export", "--path", alone / name, "--to", "ctranslate2", "--output", folder)
        assert ringformer(*words, *flags)[0] == 0
    for path in exported[0].iterdir():
        assert path.read_bytes() == (exported[1] / path.name).read_bytes()


def test_its_attention_is_shown_alone(toy, alone, ringformer, tmp_path):
    words = ("attention", "--path", alone / "mean.pt", "--text", TEXT, "--device", "cpu")
    assert ringformer(*words, "--data", toy.data, "--output", tmp_path / "with")[0] == 0
    assert ringformer(*words, "--output", tmp_path / "without")[0] == 0
    assert (tmp_path / "with.json").read_text() == (tmp_path / "without.json").read_text()


def test_fairseqs_hub_interface_needs_the_file_alone(toy, alone, ringformer, tmp_path):
    """By an import, with a user_dir of another copy of this package beside it, and through torch.hub."""
    expected = ringformer("translate", "--path", alone / "mean.pt", TEXT)[1].strip()
    copy = tmp_path / "clone" / "fairseq_ringformer"
    copy.mkdir(parents=True)
    code = f"""
import torch
from fairseq_ringformer import RingFormerModel
found = [RingFormerModel.from_pretrained({str(alone)!r}, "mean.pt", **options).translate({TEXT!r}, beam=5)
         for options in ({{}}, {{"user_dir": {str(copy)!r}}})]
hub = torch.hub.load({ROOT!r}, "translator", source="local", path={str(alone / "mean.pt")!r})
print(*found, hub.translate({TEXT!r}, beam=5), sep="\\n")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert done.stdout.splitlines()[-3:] == [expected] * 3, done.stderr[-2000:]


def test_data_and_subwords_are_put_into_a_checkpoint_that_has_none(toy, alone, ringformer, refused, tmp_path):
    bare, whole = tmp_path / "bare.pt", tmp_path / "whole.pt"
    state = torch.load(alone / "mean.pt", weights_only=True)
    del state["task_state"][KEY]
    torch.save(state, bare)
    for command in (["translate", TEXT], ["export", "--to", "ctranslate2", "--output", tmp_path / "x"]):
        assert f"{bare} carries no dictionaries: give --data DIR" in refused(command[0], "--path", bare, *command[1:])
    shutil.copytree(toy.data, tmp_path / "bin")
    model = ("--sentencepiece-model", toy.root / "toy.model")
    assert ringformer("average", bare, "--data", tmp_path / "bin", *model, "--output", whole)[0] == 0
    shutil.rmtree(tmp_path / "bin")
    expected = ringformer("translate", "--path", alone / "mean.pt", TEXT)
    assert expected[0] == 0 and ringformer("translate", "--path", whole, TEXT) == expected
    turned = turn(toy.data, tmp_path / "turned")
    complaint = refused("average", alone / "mean.pt", "--data", turned, *model, "--output", tmp_path / "other.pt")
    assert "other dictionaries than" in complaint


def test_fairseqs_own_commands_refuse_it_beside_other_dictionaries(toy, alone, tmp_path):
    from fairseq.checkpoint_utils import load_model_ensemble_and_task

    turned = turn(toy.data, tmp_path / "turned")
    load_model_ensemble_and_task([str(alone / "mean.pt")], arg_overrides={"data": str(toy.data)})
    with pytest.raises(UserError, match="turned has other dictionaries than the checkpoint was trained with"):
        load_model_ensemble_and_task([str(alone / "mean.pt")], arg_overrides={"data": str(turned)})


def test_what_was_done_to_the_training_text_travels(toy, alone, ringformer, refused, tmp_path):
    """By the recipe, also where flags name the sub-words; and not where a flag says so."""
    data, output = tmp_path / "bin", tmp_path / "new.pt"
    shutil.copytree(toy.data, data)
    recipe = {"bpe": "sentencepiece", "bpe_model": str(toy.root / "toy.model"), "normalisation": {"form": "NFC"}}
    (data / "recipe.json").write_text(json.dumps(recipe))
    command = ("average", alone / "mean.pt", "--output", output)
    for flags, form in (
        ((), "NFC"),
        (("--sentencepiece-model", toy.root / "toy.model"), "NFC"),
        (("--no-normalise",), None),
    ):
        assert ringformer(*command, "--data", data, *flags)[0] == 0
        held = torch.load(output, weights_only=True)["task_state"][KEY]["recipe"]
        assert (held["normalisation"] or {}).get("form") == form
    assert "--no-normalise says how the text of --data was cut: add --data DIR" in refused(*command, "--no-normalise")


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "..", ""])
def test_files_that_lead_out_are_refused(alone, refused, tmp_path, name):
    state = torch.load(alone / "mean.pt", weights_only=True)
    state["task_state"][KEY]["files"] = {name: torch.zeros(3, dtype=torch.uint8)}
    torch.save(state, tmp_path / "hostile.pt")
    complaint = refused("translate", "--path", tmp_path / "hostile.pt", TEXT)
    assert f"carries a file of the name {name!r} is refused" in complaint


def test_names_with_colons(toy, alone, ringformer, refused, tmp_path):
    data, path = tmp_path / "a:b", tmp_path / "c:d.pt"
    shutil.copytree(toy.data, data)
    shutil.copy(alone / "mean.pt", path)
    model = ("--data", data, "--sentencepiece-model", toy.root / "toy.model")
    expected = ringformer("translate", "--path", alone / "mean.pt", TEXT)
    assert ringformer("translate", "--path", path, *model, TEXT) == expected
    assert ringformer("translate", "--path", f"{path}:{path}:{alone / 'mean.pt'}", *model, TEXT)[0] == 0
    words = ("export", "--path", path, *model, "--to", "ctranslate2", "--output", tmp_path / "ct2:1")
    assert ringformer(*words)[0] == 0
    assert ringformer("translate", "--model", tmp_path / "ct2:1", TEXT)[0] == 0
    assert f"{tmp_path}/no: no such checkpoint" in refused("translate", "--path", f"{tmp_path}/no:{path}", *model, TEXT)
