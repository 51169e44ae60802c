"""What timm's users expect of a model, for every registered name."""

import subprocess
import sys

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models import get_model_args, get_model_input_config, get_model_traits, safe_model_name
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3
from torch import nn

from fairseq_ringformer.modules import coordinate_table
from fairseq_ringformer.vision.registry import MODELS, checkpoint_filter_fn
from tests.vision.models import NAMES, RINGS, SMALL, TINY, images, small


def test_the_registry_has_the_papers_rows_and_small_ones():
    assert len(NAMES) == 18
    assert set(timm.list_models("vit_ring*")) == {name for name in NAMES if "_ring_" in name}
    assert "vit_ring_728_l6_patch16_224" in NAMES and "vit_universal_1560_l12_patch16_224" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_its_defaults_are_complete(name):
    cfg = timm.get_pretrained_cfg(name).to_dict()
    assert cfg["classifier"] == "head" and cfg["first_conv"] == "patch_embed.proj"
    assert cfg["input_size"] == MODELS[name].image and cfg["num_classes"] == MODELS[name].num_classes
    for key in ("interpolation", "crop_pct", "mean", "std", "license"):
        assert cfg[key] is not None
    assert len(cfg["mean"]) == len(cfg["std"]) == cfg["input_size"][0]
    with torch.device("meta"):
        model = timm.create_model(name)
    assert model.get_classifier() is model.head and model.head.out_features == cfg["num_classes"]
    assert model.patch_embed.proj.in_channels == cfg["input_size"][0]


@pytest.mark.parametrize("name", TINY)
def test_forward_and_backward_reach_every_parameter(name):
    model = small(name)
    x = images(model)
    out = model(x)
    assert out.shape == (2, 5) and out.isfinite().all()
    model.train()(x).square().mean().backward()
    for own, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, own


def test_no_images_at_all_give_no_logits():
    model = small("vit_ring_tiny_patch4_28")
    assert model(images(model, 0)).shape == (0, 5)
    model.train()(images(model, 0)).sum().backward()


@torch.no_grad()
def test_a_whole_model_can_be_saved_after_it_has_run(tmp_path):
    model = small("vit_ring_tiny_patch4_28")
    expected = model(images(model))
    torch.save(model, tmp_path / "model.pt")
    torch.testing.assert_close(torch.load(tmp_path / "model.pt", weights_only=False)(images(model)), expected)


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_head_pooling_and_pre_logits(name):
    model = small(name)
    x = images(model)
    features = model.forward_features(x)
    assert features.shape == (2, 17, 32)
    torch.testing.assert_close(model.forward_head(features), model(x))
    torch.testing.assert_close(model.forward_head(features, pre_logits=True), features[:, 0])
    model.reset_classifier(7, "avg")
    assert model(x).shape == (2, 7) and model.num_classes == 7
    torch.testing.assert_close(model.forward_head(features, pre_logits=True), features[:, 1:].mean(1))
    model.reset_classifier(0)
    assert isinstance(model.get_classifier(), nn.Identity)
    torch.testing.assert_close(model(x), features[:, 1:].mean(1))
    model.reset_classifier(0, "")
    torch.testing.assert_close(model(x), features)


def test_an_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'this_is_no_option'"):
        timm.create_model("vit_ring_tiny_patch4_28", **SMALL, this_is_no_option=1)


@pytest.mark.parametrize("name", TINY)
def test_built_without_memory_and_filled_it_is_the_same(name):
    model = small(name)
    for build in (lambda: timm.create_model(name, **SMALL, device="meta"), lambda: _on_meta(name)):
        empty = build()
        assert all(tensor.is_meta for tensor in (*empty.parameters(), *empty.buffers()))
        assert empty(torch.empty(3, 1, 32, 32, device="meta")).shape == (3, 5)
        filled = empty.to_empty(device="cpu")
        filled.init_weights()
        filled.load_state_dict(model.state_dict())
        torch.testing.assert_close(filled.eval()(images(model)), model(images(model)))
    half = timm.create_model(name, **SMALL, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in half.state_dict().values()} == {torch.bfloat16}
    assert half(images(model).bfloat16()).dtype == torch.bfloat16


def _on_meta(name):
    with torch.device("meta"):
        return timm.create_model(name, **SMALL)


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_intermediates(name):
    model = small(name)
    x = images(model)
    features = model.forward_features(x)
    final, every = model.forward_intermediates(x)
    torch.testing.assert_close(final, features)
    assert [own.shape for own in every] == [(2, 32, 4, 4)] * 3
    normed = model.forward_intermediates(x, indices=[-1], norm=True, output_fmt="NLC", intermediates_only=True)
    torch.testing.assert_close(normed[0], features[:, 1:])
    early = model.forward_intermediates(
        x, indices=[0, 1], stop_early=True, return_prefix_tokens=True, intermediates_only=True
    )
    for (patches, prefix), own in zip(early, every):
        torch.testing.assert_close(patches, own)
        assert prefix.shape == (2, 1, 32)
    named = model.forward_intermediates(x, indices=2, output_dict=True, return_prefix_tokens=True)
    assert named.keys() == {"image_features", "image_intermediates", "image_intermediates_prefix"}
    torch.testing.assert_close(named["image_intermediates"], every[1:])


@torch.no_grad()
def test_intermediates_as_dino_asks_for_them():
    model = small("vit_ring_tiny_patch4_28")
    x = images(model)
    states = model.forward_intermediates(x, norm=True, output_fmt="NLC", return_prefix_tokens=True)[1]
    torch.testing.assert_close(model.get_intermediate_layers(x, 2, norm=True), [patches for patches, _ in states[1:]])
    ((patches, prefix),) = model.get_intermediate_layers(x, (1,), reshape=True, return_prefix_tokens=True, norm=True)
    torch.testing.assert_close((patches.flatten(2).transpose(1, 2), prefix), states[1])


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_features_only_and_pruning(name):
    model = small(name)
    x = images(model)
    backbone = timm.create_model(name, **SMALL, features_only=True, out_indices=(0, 2)).eval()
    assert backbone.feature_info.channels() == [32, 32] and backbone.feature_info.reduction() == [8, 8]
    assert [own.shape for own in backbone(x)] == [(2, 32, 4, 4)] * 2
    expected = model.forward_intermediates(x, indices=[0, 1], intermediates_only=True)
    before = sum(parameter.numel() for parameter in model.parameters())
    assert model.prune_intermediate_layers([0, 1]) == [0, 1]
    assert sum(parameter.numel() for parameter in model.parameters()) < before
    torch.testing.assert_close(model.forward_intermediates(x, indices=[0, 1], intermediates_only=True), expected)
    assert model(x).shape == (2, 17, 32)
    assert model.prune_intermediate_layers(1, prune_norm=True) == [1]
    last = model.forward_intermediates(x, indices=[1], norm=True, intermediates_only=True)
    torch.testing.assert_close(last, expected[1:])  # no norm is left


@pytest.mark.parametrize("name", TINY)
def test_gradient_checkpointing_changes_nothing(name):
    model = small(name, drop_path_rate=0.2, proj_drop_rate=0.1).train()
    x = images(model)
    results = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        torch.manual_seed(3)
        out = model(x)
        out.square().sum().backward()
        results.append([out.detach(), *(parameter.grad for parameter in model.parameters())])
    for plain, checkpointed in zip(*results):
        torch.testing.assert_close(checkpointed, plain)


FORMS = {**{name: (name, {}) for name in TINY}, **{name: (TINY[0], changes) for name, changes in RINGS.items()}}
del FORMS["ours"]  # the first of TINY


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_torch_fx_records_it_for_any_batch(form):
    name, changes = FORMS[form]
    model = small(name, **changes)
    traced = torch.fx.symbolic_trace(model)
    for count in (2, 5):
        torch.testing.assert_close(traced(images(model, count)), model(images(model, count)))


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_torch_export_and_jit_trace(name):
    model = small(name)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(model, (images(model, 3),), dynamic_shapes=({0: batch},))
    traced = torch.jit.trace(model, images(model, 3))
    for count in (2, 7):
        expected = model(images(model, count))
        torch.testing.assert_close(program.module()(images(model, count)), expected)
        torch.testing.assert_close(traced(images(model, count)), expected)


@pytest.mark.parametrize(
    "name", ["vit_ring_tiny_patch4_28", *(pytest.param(own, marks=pytest.mark.slow) for own in TINY[1:])]
)
def test_torch_compile_gives_output_and_gradients(name):
    model = small(name)
    x = images(model)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for run in (model, compiled):
        model.zero_grad()
        out = run(x)
        out.square().sum().backward()
        found = [out.detach(), *(parameter.grad.clone() for parameter in model.parameters())]
        expected = found if run is model else expected  # noqa: F821
    for own, plain in zip(found, expected):
        torch.testing.assert_close(own, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_torch_compile_with_its_default_compiler():
    model = small("vit_ring_tiny_patch4_28")
    x = images(model)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(model)(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_saved_and_loaded_by_timm(name, tmp_path):
    model = small(name)
    weights = {own: tensor for own, tensor in model.state_dict().items()}
    torch.save({"state_dict": weights}, tmp_path / "model.pth")
    timm.models.save_for_hf(model, tmp_path / "folder", model_config=dict(model_args=SMALL), safe_serialization=True)
    assert (tmp_path / "folder" / "model.safetensors").exists()
    assert safe_model_name(model.pretrained_cfg["architecture"]) == name
    for loaded in (
        timm.create_model(name, **SMALL, checkpoint_path=str(tmp_path / "model.pth")),
        timm.create_model(f"local-dir:{tmp_path / 'folder'}", pretrained=True),
    ):
        torch.testing.assert_close(loaded.eval()(images(model)), model(images(model)), rtol=0, atol=0)


def test_no_weight_is_saved_twice():
    ring = small("vit_ring_tiny_patch4_28")
    saved = sum(tensor.numel() for tensor in ring.state_dict().values())
    assert saved == sum(parameter.numel() for parameter in ring.parameters())


def test_other_image_sizes_and_channels():
    name = "vit_ring_tiny_patch4_28"
    model = small(name, img_size=(32, 48), in_chans=2)
    assert model(torch.randn(2, 2, 32, 48)).shape == (2, 5)
    fresh = small(name, img_size=(24, 24), in_chans=2)
    fresh.load_state_dict(model.state_dict())
    model.set_input_size((24, 24))
    torch.testing.assert_close(model(images(fresh)), fresh(images(fresh)))
    with pytest.raises(ValueError, match="images of 20 x 20 pixels are not divisible into patches of 8 x 8"):
        model.set_input_size((20, 20))


@pytest.mark.parametrize("pos_embed", ["fixed", "learned"])
@torch.no_grad()
def test_another_input_size_is_known_to_timm(pos_embed, tmp_path):
    model = small("vit_ring_tiny_patch4_28", pos_embed=pos_embed)
    model.set_input_size(img_size=(16, 24), patch_size=4)
    assert get_model_input_config(model)["input_size"] == (1, 16, 24)
    assert get_model_traits(model)["fixed_input_size"] and get_model_args(model)["patch_size"] == 4
    timm.models.save_for_hf(model, tmp_path)
    restored = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = torch.randn(2, 1, 16, 24)
    torch.testing.assert_close(restored(x), model(x), rtol=0, atol=0)
    assert restored.pretrained_cfg["input_size"] == (1, 16, 24)


@pytest.mark.parametrize("family, pos_embed", [("ring", "fixed"), ("ring", "learned"), ("universal", "fixed")])
@torch.no_grad()
def test_images_of_any_size(family, pos_embed, tmp_path):
    """As a model that was told the size, which resamples its positions or computes them."""
    name = f"vit_{family}_tiny_patch4_28"
    model = small(name, pos_embed=pos_embed, dynamic_img_size=True, dynamic_img_pad=True)
    told = small(name, pos_embed=pos_embed)
    torch.testing.assert_close(model(images(model)), told(images(model)))
    for size in ((24, 24), (48, 16)):
        told = small(name, pos_embed=pos_embed)
        told.set_input_size(size)
        x = torch.randn(2, 1, *size)
        torch.testing.assert_close(model(x), told(x))
        torch.testing.assert_close(torch.fx.symbolic_trace(model)(x), told(x))
        (own,), (other,) = (each.forward_intermediates(x, 1, intermediates_only=True) for each in (model, told))
        assert own.shape == (2, 32, size[0] // 8, size[1] // 8)
        torch.testing.assert_close(own, other)
    x = torch.randn(2, 1, 30, 45)
    torch.testing.assert_close(model(x), model(F.pad(x, (0, 3, 0, 2))))
    assert not get_model_traits(model)["fixed_input_size"]
    timm.models.save_for_hf(model, tmp_path)
    restored = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    torch.testing.assert_close(restored(x), model(x), rtol=0, atol=0)


def test_other_sizes_are_refused_where_nobody_asked_for_them():
    with pytest.raises(AssertionError, match=r"Input height \(24\) doesn't match model \(32\)"):
        small("vit_ring_tiny_patch4_28")(torch.randn(1, 1, 24, 32))
    with pytest.raises(AssertionError, match=r"Input height \(30\) should be divisible by patch size \(8\)"):
        small("vit_ring_tiny_patch4_28", dynamic_img_size=True)(torch.randn(1, 1, 30, 32))
    with pytest.raises(ValueError, match="images of 30 x 30 pixels are not divisible"):
        small("vit_ring_tiny_patch4_28", img_size=30, dynamic_img_pad=True)


def test_learned_positions_are_resampled():
    model = small("vit_ring_tiny_patch4_28", pos_embed="learned")
    assert "pos_embed" in model.state_dict() and "pos_embed" in model.no_weight_decay()
    other = small("vit_ring_tiny_patch4_28", pos_embed="learned", img_size=48)
    other.load_state_dict(checkpoint_filter_fn(model.state_dict(), other))
    model.set_input_size(48)
    torch.testing.assert_close(other(images(other)), model(images(other)), rtol=1e-4, atol=1e-5)


def test_exponential_averages_follow_the_weights():
    model = small("vit_ring_tiny_patch4_28")
    ema = ModelEmaV3(model, decay=0.0)
    x = images(model)
    with torch.no_grad():
        ema.module(x)
        for parameter in model.parameters():
            parameter.add_(0.1)
        ema.update(model)
        torch.testing.assert_close(ema.module(x), model.eval()(x))


@pytest.mark.parametrize("name", TINY)
def test_layer_wise_decay_knows_every_parameter(name):
    model = small(name)
    optimizer = create_optimizer_v2(model, "adamw", lr=1.0, weight_decay=0.1, layer_decay=0.5)
    scale = {id(own): group["lr_scale"] for group in optimizer.param_groups for own in group["params"]}
    assert scale.keys() == {id(parameter) for parameter in model.parameters()}
    of = {own: scale[id(parameter)] for own, parameter in model.named_parameters()}
    assert of["head.weight"] == 1.0 and of["cls_token"] == of["patch_embed.proj.weight"] == min(of.values())
    # A copy belongs to the last level that uses it.
    shared = "ring" in name or "universal" in name
    assert of["stack.self_attn.0.qkv_proj.weight"] == (0.5 if shared else 0.125)
    assert of["stack.ffn.0.fc1.weight"] == (0.125 if "vanilla" in name else 0.5)
    assert of["stack.norms.self_attn.0.weight"] == (0.5 if "universal" in name else 0.125)
    assert of["stack.final_norm.weight"] == 0.5


@torch.no_grad()
def test_stochastic_depth_skips_samples_and_only_in_training():
    model = small("vit_vanilla_tiny_patch4_28", drop_path_rate=0.9)
    x = images(model, 64)
    plain = small("vit_vanilla_tiny_patch4_28")(x)
    torch.testing.assert_close(model(x), plain)
    model.train()
    states = model.forward_intermediates(x, output_fmt="NLC", intermediates_only=True)
    unchanged = [(after == before).flatten(1).all(1).float().mean() for before, after in zip(states, states[1:])]
    # Levels 2 and 3 skip each of their two sub-layers with probability 0.45 and 0.9.
    assert 0.05 < unchanged[0] < 0.4 and 0.65 < unchanged[1] < 0.95


@torch.no_grad()
def test_mixed_precision_computes_the_stack_in_bfloat16():
    model = small("vit_ring_tiny_patch4_28")
    x = images(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = model.forward_features(x)
    assert features.dtype == torch.bfloat16
    torch.testing.assert_close(features.float(), model.forward_features(x), rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(num_heads=5), "embed_dim 32 is not divisible by the number of attention heads, 5"),
        (dict(img_size=30), "images of 30 x 30 pixels are not divisible into patches of 8 x 8"),
        (dict(signal_rank=33), "signal rank 33 must lie between 1 and"),
        (dict(global_pool="map"), "global_pool 'map' is unknown: choose one of 'token', 'avg', ''"),
        (dict(pos_embed="rope"), "pos_embed 'rope' is unknown: choose one of 'fixed', 'learned'"),
        (
            dict(architecture="rings"),
            "architecture 'rings' is unknown: choose one of 'vanilla', 'owf', 'universal', 'ring'",
        ),
        (dict(signal_input="raw"), "signal input 'raw' is unknown: choose one of normalised, state"),
        (dict(signal="none", signal_rank=4), "signal none excludes signal_rank"),
        (dict(signals="cross_attn.q_proj:after"), "signals: the model has no cross_attn.q_proj"),
        (dict(ffn_sharing="two"), "ffn_sharing"),
        (dict(drop_path_rate=1.0), "drop_path 1.0 must lie between 0 and 1"),
        (dict(coordinates="released"), "signal low-rank excludes coordinates"),
        (dict(residual_scale="half"), "residual_scale 'half' is unknown: choose one of none, 1/N"),
        (dict(depth=0), "depth 0: a model needs at least one level"),
    ],
)
def test_wrong_options_are_named(changes, message):
    with pytest.raises(ValueError) as error:
        timm.create_model("vit_ring_tiny_patch4_28", **{**SMALL, **changes})
    assert message in str(error.value)


def test_signals_may_read_the_state_before_its_norm():
    """Two routes: the option, and the published vision models' levels written out."""
    model = small("vit_ring_tiny_patch4_28", signal_input="state")
    stack, x = model.stack, model.embed(images(model))
    attention, feed_forward = stack.self_attn[0], stack.ffn[0]
    at_qkv, at_fc1 = (stack.signals_at(name).matrix() for name in ("self_attn.qkv_proj", "ffn.fc1"))
    states = [x]
    for level in range(stack.levels):
        qkv = attention.qkv_proj(stack.norms["self_attn"][level](x)) + x @ at_qkv[level].flatten(0, 1).T
        query, key, value = qkv.unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        attended = torch.softmax(query @ key.mT * query.size(-1) ** -0.5, dim=-1) @ value
        x = x + attention.out_proj(attended.transpose(1, 2).flatten(2))
        added = x + x @ at_fc1[level, 0].T
        x = x + feed_forward.fc2(F.gelu(feed_forward.fc1(stack.norms["ffn"][level](added))))
        states.append(x)
    seen = stack(states[0], return_states=True).states
    torch.testing.assert_close(seen, states, atol=1e-4, rtol=1e-4)
    model.reparameterize()
    with torch.no_grad():
        torch.testing.assert_close(model.stack(states[0]).state, stack.final_norm(x), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_static_signals_and_scaled_outputs_survive_pruning():
    model = small("vit_ring_tiny_patch4_28", signal="static", coordinates="released", residual_scale="1/N")
    assert model.fixed_positions is None
    expected = coordinate_table(18, 32, coordinates="released")[1:]
    torch.testing.assert_close(model.stack.static_signal.first(17), expected)
    x = model.embed(images(model))
    before = model.stack(x, return_states=True, stop=2).states[-1]
    model.prune_intermediate_layers([1], prune_head=False)
    torch.testing.assert_close(model.stack(x, return_states=True).states[-1], before)


@torch.no_grad()
def test_init_draws_the_weights_of_the_stack_alone():
    model = small("vit_ring_tiny_patch4_28", init="normal-0.02", embed_dim=128, ffn_dim=256)
    for part in (model.stack.self_attn[0], model.stack.ffn[0]):
        for projection in part.children():
            if isinstance(projection, torch.nn.Linear):
                assert projection.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert model.patch_embed.proj.weight.std().item() == pytest.approx(1 / 8, rel=0.1)


@pytest.mark.parametrize(
    "first",
    [
        "from fairseq_ringformer.vision import RingClassifier",
        pytest.param("import fairseq_ringformer.vision.registry", marks=pytest.mark.slow),
        pytest.param("import fairseq_ringformer.vision, fairseq_ringformer.export.timm_vit", marks=pytest.mark.slow),
    ],
)
def test_it_needs_no_fairseq_in_any_order(first):
    code = (
        "import sys; sys.modules['fairseq'] = None\n"
        f"{first}; import timm, torch\n"
        "assert len(timm.list_models('vit_ring*')) == 5\n"
        "print(timm.create_model('vit_ring_tiny_patch4_28')(torch.zeros(1, 1, 28, 28)).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "torch.Size([1, 10])" in done.stdout


def test_fixed_positions_are_exact_in_the_type_of_the_model():
    model = small("vit_ring_tiny_patch4_28").double()
    length, width = model.fixed_positions().shape
    expected = coordinate_table(length + 1, width, dtype=torch.float64)[1:]
    torch.testing.assert_close(model.fixed_positions(), expected, atol=1e-14, rtol=0)
