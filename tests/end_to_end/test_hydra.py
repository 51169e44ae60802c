"""fairseq-hydra-train with the recipe of examples/debian_de_en/hydra."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from fairseq_ringformer.models.ringformer import SIZES

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "examples" / "debian_de_en" / "hydra"
TINY = [
    f"model.{side}_{size}"
    for side in ("encoder", "decoder")
    for size in ("embed_dim=16", "ffn_embed_dim=32", "attention_heads=2")
]


@pytest.fixture
def hydra_train(command, toy, tmp_path):
    """Runs ``fairseq-hydra-train`` with the tiny recipe on the toy data; relative paths start at the root."""

    def run(*overrides):
        return command(
            "fairseq-hydra-train",
            "--config-dir",
            RECIPES.relative_to(ROOT),
            "--config-name",
            "ringformer_tiny",
            f"task.data={toy.joined}",
            "common.user_dir=fairseq_ringformer",
            f"checkpoint.save_dir={tmp_path}/run",
            "common.cpu=true",
            *TINY,
            *overrides,
        )

    return run


@pytest.mark.slow
def test_any_languages(hydra_train, toy, tmp_path):
    """By the names of the files, or by key, in either direction."""
    other = tmp_path / "data"
    other.mkdir()
    for path in toy.joined.iterdir():
        shutil.copy(path, other / re.sub(r"\bde\b", "nds", re.sub(r"\ben\b", "hr", path.name)))
    for pair, keys in (("nds-hr", ()), ("hr-nds", ("task.source_lang=hr", "task.target_lang=nds"))):
        done = hydra_train(
            f"task.data={other}", "optimization.max_update=1", f"checkpoint.save_dir={tmp_path}/{pair}", *keys
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert f"train {pair} 240 examples" in done.stdout


def test_recipe_trains_and_generates(hydra_train, fairseq, toy, tmp_path):
    before = set(ROOT.iterdir())
    done = hydra_train("model.encoder_layers=2", "+model.signal_rank=2", "optimization.max_update=2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(ROOT.iterdir()) == before, "Hydra leaves its log or an outputs folder behind"
    path = tmp_path / "run" / "checkpoint_last.pt"
    state = torch.load(path, weights_only=True)
    model = state["cfg"]["model"]
    assert state["optimizer_history"][-1]["num_updates"] == 2
    # The explicit keys win; what they leave open is the architecture's.
    levels = SIZES["tiny"]["layers"]
    assert (model["encoder_layers"], model["decoder_layers"], model["encoder_embed_dim"]) == (2, levels, 16)
    assert state["model"]["encoder.stack.signals.self_attn_qkv_proj.up"].shape == (2, 3, 16, 2)
    assert state["model"]["decoder.stack.signals.self_attn_qkv_proj.up"].shape[:2] == (levels, 3)
    # The recipe arrives: betas, schedule, clipping.
    assert state["cfg"]["optimizer"]["adam_betas"] == "(0.9, 0.98)"
    assert state["cfg"]["lr_scheduler"]["max_update"] == 2
    assert state["cfg"]["lr_scheduler"]["lr"] == state["cfg"]["optimization"]["lr"]
    assert state["last_optimizer_state"]["param_groups"][0]["betas"] == (0.9, 0.98)
    assert len(fairseq.generate(toy.joined, str(path), "--max-len-b", "5")) == 16


@pytest.mark.slow
def test_misspelt_option_is_refused(hydra_train, tmp_path):
    done = hydra_train("+model.signal_rnak=2", "optimization.max_update=1")
    assert done.returncode != 0
    assert "signal_rnak" in done.stderr and "RingFormerConfig" in done.stderr
    assert not (tmp_path / "run" / "checkpoint_last.pt").exists()


def build_as_hydra_does(arch, task, **keys):
    """The model that fairseq_cli.hydra_train and fairseq_cli.train build from a configuration."""
    from fairseq.dataclass.configs import FairseqConfig
    from fairseq.dataclass.initialize import add_defaults
    from omegaconf import OmegaConf

    cfg = OmegaConf.merge(OmegaConf.structured(FairseqConfig), {"model": {"_name": arch, **keys}})
    add_defaults(cfg)
    cfg = OmegaConf.create(OmegaConf.to_container(cfg, enum_to_str=True))
    OmegaConf.set_struct(cfg, True)
    add_defaults(cfg)
    return task.build_model(cfg.model)


def build_from_flags(arch, toy, task, *flags):
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    args = options.parse_args_and_arch(options.get_training_parser(), [str(toy.joined), "--arch", arch, *flags])
    return task.build_model(convert_namespace_to_omegaconf(args).model)


def shapes(model):
    return {name: tuple(weight.shape) for name, weight in model.state_dict().items()}


@pytest.fixture(scope="module")
def task(toy, fairseq):
    from fairseq.tasks.translation import TranslationConfig, TranslationTask

    return TranslationTask.setup_task(TranslationConfig(data=str(toy.joined), source_lang="de", target_lang="en"))


@pytest.mark.parametrize("model, size", [("ringformer", "tiny"), ("one_wide_ffn", "small")])
def test_name_sets_the_size_as_on_the_command_line(model, size, toy, task):
    built = build_as_hydra_does(f"{model}_{size}", task)
    assert built.encoder.embed_tokens.embedding_dim == SIZES[size]["embed_dim"]
    assert built.decoder.stack.levels == SIZES[size]["layers"]
    assert shapes(built) == shapes(build_from_flags(f"{model}_{size}", toy, task))


def test_explicit_keys_win_as_flags_do(toy, task):
    keys = {
        "encoder_layers": 4,
        "decoder_embed_dim": 64,
        "ffn_sharing": "cycle:2",
        "share_decoder_input_output_embed": True,
    }
    flags = ("--encoder-layers", "4", "--decoder-embed-dim", "64", "--ffn-sharing", "cycle:2")
    built = build_as_hydra_does("ringformer_small", task, **keys)
    assert built.encoder.stack.levels == 4 and built.decoder.stack.config.embed_dim == 64
    assert shapes(built) == shapes(
        build_from_flags("ringformer_small", toy, task, *flags, "--share-decoder-input-output-embed")
    )


def test_the_models_bare_name_is_its_base_size(toy, task):
    assert shapes(build_as_hydra_does("ringformer", task)) == shapes(build_from_flags("ringformer_base", toy, task))


def script_flags(script: str):
    """The flags that train.sh gives to fairseq-train on one device, as words."""
    (flags,) = re.findall(r"^flags=\(\n(.*?)\n\)", script, re.S | re.M)
    (max_update,) = re.findall(r"^arch=.* max_update=(\d+)$", script, re.M)
    (warmup,) = re.findall(r"^warmup=(\d+)$", script, re.M)
    flags = flags.replace('${more[@]+"${more[@]}"}', "").replace("$((2 / workers))", "2")
    flags = flags.replace("$max_update", max_update).replace("$warmup", warmup)
    flags = flags.replace("$arch", "ringformer_tiny").replace("$seed", "1").replace("$root/", "")
    return shlex.split(re.sub(r"\$\{\w+:-(\w+)\}", r"\1", flags))


def test_recipe_says_what_the_training_script_says(fairseq):
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from omegaconf import OmegaConf

    words = script_flags((RECIPES.parent / "train.sh").read_text())
    args = options.parse_args_and_arch(options.get_training_parser(), words)
    expected = convert_namespace_to_omegaconf(args)
    recipe = OmegaConf.to_container(OmegaConf.load(RECIPES / "ringformer_tiny.yaml"))
    compared = 0
    for section in ("task", "model", "criterion", "optimizer", "lr_scheduler", "optimization", "dataset", "checkpoint"):
        for key, value in recipe[section].items():
            if value in (None, "???") or key == "save_dir":
                continue
            assert expected[section][key] == value, f"{section}.{key}"
            compared += 1
    assert compared > 25
