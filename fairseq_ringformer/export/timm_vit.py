"""A ring that classifies images as timm's own VisionTransformer, which needs nothing of this package."""

import operator
from typing import Any

import timm
import torch
from torch import Tensor, nn

from ..errors import UserError
from ..vision import RingClassifier
from .folding import plain_layers, why_not_plain

# timm's name for a plain VisionTransformer: its sizes are overridden, its code is what counts.
STOCK = "vit_base_patch16_224"
# timm's names of a layer's parts, and those of a plain layer that they hold, packed in this order.
NAMES = {
    "norm1": ("self_attn_layer_norm",),
    "attn.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.proj": ("self_attn.out_proj",),
    "norm2": ("final_layer_norm",),
    "mlp.fc1": ("fc1",),
    "mlp.fc2": ("fc2",),
}


def stock_args(model: RingClassifier) -> dict[str, Any]:
    """Keywords that make timm's VisionTransformer as large as `model`."""
    config, patches = model.stack.config, model.patch_embed
    # Learned positions are resampled as there. Fixed ones are not: the folded model takes the size that they are for.
    any_size = model.dynamic_img_size and model.pos_embed is not None
    dynamic = dict(dynamic_img_size=True, dynamic_img_pad=patches.dynamic_img_pad) if any_size else {}
    hidden = max(config.ffn_dims, default=1)
    return dict(
        img_size=list(patches.img_size),
        patch_size=list(patches.patch_size),
        in_chans=model.in_chans,
        num_classes=model.num_classes,
        global_pool=model.global_pool,
        embed_dim=config.embed_dim,
        depth=config.levels,
        num_heads=config.num_heads,
        # timm rounds the product with embed_dim down.
        mlp_ratio=(hidden + 0.5) / config.embed_dim,
        # The final norm stands before the pooling here, whatever the pooling is.
        fc_norm=False,
        **dynamic,
    )


def why_not_stock(model: RingClassifier) -> str | None:
    """What keeps `model` from being timm's VisionTransformer; None if nothing does."""
    if model.stack.final_norm is None:
        return "a model pruned without its final norm does not fold: it is no classifier any more"
    if model.pos_embed is None and any(map(operator.mod, model.patch_embed.img_size, model.patch_embed.patch_size)):
        return "fixed positions for images that are not divisible into patches do not fold: set another input size"
    return why_not_plain(model.stack)


@torch.no_grad()
def stock_weights(model: RingClassifier) -> dict[str, Tensor]:
    """The weights of `model` under the names of timm's VisionTransformer.

    Raises:
        UserError: as :func:`why_not_stock` says.
    """
    problem = why_not_stock(model)
    if problem:
        raise UserError(problem)
    weights: dict[str, Tensor] = {}
    for level, layer in enumerate(plain_layers(model.stack)):
        for name, parts in NAMES.items():
            for kind in ("weight", "bias"):
                tensors = [layer[f"{part}.{kind}"] for part in parts if f"{part}.{kind}" in layer]
                if not tensors:  # the feed-forward of a stack that has none: its weights are zero
                    tensors = [layer[f"{parts[0]}.weight"].new_zeros(len(layer[f"{parts[0]}.weight"]))]
                weights[f"blocks.{level}.{name}.{kind}"] = torch.cat(tensors)
    final = model.stack.final_norm
    positions = model.pos_embed if model.pos_embed is not None else model.fixed_positions().unsqueeze(0)
    weights.update(
        {
            "cls_token": model.cls_token,
            "pos_embed": positions,
            "norm.weight": final.weight,
            "norm.bias": final.bias,
            **{f"patch_embed.{name}": tensor for name, tensor in model.patch_embed.state_dict().items()},
            **{f"head.{name}": tensor for name, tensor in model.head.state_dict().items()},
        }
    )
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


def fold_classifier(model: RingClassifier) -> nn.Module:
    """`model` as timm's VisionTransformer, in evaluation mode, with the same outputs.

    Raises:
        UserError: as :func:`stock_weights`.
    """
    weights = stock_weights(model)
    stock = timm.create_model(STOCK, **stock_args(model)).to(model.cls_token)
    stock.load_state_dict(weights, strict=True)
    return stock.eval()


def fold_classifier_checkpoint(state: dict[str, Any], model: RingClassifier) -> dict[str, Any]:
    """The checkpoint `state`, whose weights are in `model`, as one of timm's VisionTransformer.

    Raises:
        UserError: as :func:`stock_weights`.
    """
    described = {
        key: state[key] for key in ("num_classes", "classes", "input", "epoch", "update", "metric") if key in state
    }
    return {**described, "arch": STOCK, "model_args": stock_args(model), "state_dict": stock_weights(model)}
