"""The classifier: timm's patch embedding and head around the ring (arXiv 2502.13181, section 4.2)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.layers import PatchEmbed, resample_abs_pos_embed, trunc_normal_
from timm.models._features import feature_take_indices
from timm.models._input import update_model_input_size
from timm.models.vision_transformer import global_pool_nlc
from torch import Tensor, nn

from ..errors import UserError
from ..modules import VISION_ROWS, Stack, StackConfig, parse_signals, resolve
from ..modules.kernels import dropout, span
from ..modules.prepared import refuse_quantised
from .positions import FixedPositions

POOLS = ("token", "avg", "")
POSITIONS = ("fixed", "learned")
Size = int | tuple[int, int]
torch.fx.wrap("resample_abs_pos_embed")  # a recorded model knows the image's size only when it runs


class RingClassifier(nn.Module):
    """A Vision Transformer whose levels share what a row of the sharing table says.

    Pre-norm encoder stack with biases, a class token, a final norm and a linear head.

    Args:
        architecture: row of :data:`~fairseq_ringformer.modules.VISION_ROWS`: ``ring``, ``universal``, ``owf`` or
            ``vanilla``; the sharing and signal options below override it one by one.
        img_size: height and width of images, or both at once; positions follow.
        dynamic_img_size: images may be of any size, `img_size` is what learned positions are for: they are resampled as
            in timm's VisionTransformer, fixed ones are computed for as many patches as there are.
        dynamic_img_pad: images that are not divisible into patches are filled up with zeros, below and on the right.
        patch_size: height and width of patches; images must be divisible by it, but for `dynamic_img_pad`.
        in_chans: channels of images.
        num_classes: outputs of the head; 0 for none.
        global_pool: what the head reads: the class ``token``, the ``avg`` of the patches, or everything (``""``).
        embed_dim: channels of the state (d); ffn_dim: hidden channels of the feed-forward; num_heads: attention heads.
        depth: levels N.
        pos_embed: ``fixed`` sinusoids over the sequence, class token first (the paper's), or ``learned``. A static signal
            carries the positions itself, and leaves none to be added here.
        sharing: sharing map of whole layers (``own``, ``one``, ``cycle:K``, ``0,0,1`` ...), norms included.
        self_attn_sharing, ffn_sharing, norm_sharing, ffn_norm_sharing: those of one part, which win over it;
            ``ffn_sharing="none"`` leaves the feed-forward out.
        ffn_widths: of each copy of the feed-forward, where they differ, as ``"384,1152,384"`` or a sequence.
        norm_per: ``sublayer``, or ``level`` to reuse one norm for both sub-layers of a level.
        signal: ``low-rank``, ``full-rank``, ``diagonal``, ``low-rank+diagonal``, ``static``, ``steps`` or ``none``;
            signal_rank: r (embed_dim // 16); signal_init_std: of the factor that does not start at zero
            (embed_dim ** -0.5).
        signals: where they stand, as ``{"self_attn.qkv_proj": "after", "ffn.fc1": "before"}`` or
            ``"self_attn.qkv_proj:after,ffn.fc1:before"``; any of ``self_attn.qkv_proj``, ``self_attn.out_proj``,
            ``ffn.fc1`` and ``ffn.fc2``. Short for two of them: attention_signal (``after``, ``before`` or ``none``) and
            ffn_signal (``before``, ``inter`` or ``none``).
        signal_input: what signals read: the ``normalised`` state, as in the paper's equations (folds into a plain
            VisionTransformer), or the ``state`` before its norm, as in the models behind the paper's Tables 2 and 3:
            queries, keys and values are ``W LN(x) + M x``, the feed-forward reads ``LN(x + M x)`` (does not fold).
        coordinates: sinusoids of signals ``static`` and ``steps``: ``dehghani`` (default) or ``released``.
        residual_scale: in front of every sub-layer's output: ``none``, or ``1/N`` for one over the number of levels.
        init: how the weights of the stack start, ``xavier`` or ``normal-0.02``.
        drop_rate: dropout before the head. The others are timm's: pos_drop_rate on embeddings, proj_drop_rate on
            sub-layer outputs and after the activation (the paper: 0.1 for both), attn_drop_rate on attention weights,
            drop_path_rate of stochastic depth at the last level.
        device, dtype: of the weights.

    Raises:
        UserError: for sizes or options that make no model, naming them.
    """

    def __init__(
        self,
        architecture: str = "ring",
        img_size: Size = 224,
        patch_size: Size = 16,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "token",
        dynamic_img_size: bool = False,
        dynamic_img_pad: bool = False,
        embed_dim: int = 768,
        ffn_dim: int = 3072,
        depth: int = 12,
        num_heads: int = 12,
        pos_embed: str = "fixed",
        sharing: str | None = None,
        self_attn_sharing: str | None = None,
        ffn_sharing: str | None = None,
        ffn_widths: str | Sequence[int] | None = None,
        norm_sharing: str | None = None,
        ffn_norm_sharing: str | None = None,
        norm_per: str | None = None,
        signal: str | None = None,
        signal_rank: int | None = None,
        signals: str | Mapping[str, str] | None = None,
        attention_signal: str | None = None,
        ffn_signal: str | None = None,
        signal_init_std: float | None = None,
        signal_input: str = "normalised",
        coordinates: str | None = None,
        residual_scale: str = "none",
        init: str = "xavier",
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        device=None,
        dtype=None,
    ):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        check_choice("architecture", architecture, VISION_ROWS)
        check_choice("global_pool", global_pool, POOLS)
        check_choice("pos_embed", pos_embed, POSITIONS)
        if not (dynamic_img_size and dynamic_img_pad):
            check_divisible(img_size, patch_size)
        if depth < 1:
            raise UserError(f"depth {depth}: a model needs at least one level")
        overrides = dict(
            sharing=sharing,
            self_attn_sharing=self_attn_sharing,
            ffn_sharing=ffn_sharing,
            ffn_widths=ffn_widths,
            norm_sharing=norm_sharing,
            ffn_norm_sharing=ffn_norm_sharing,
            norm_per=norm_per,
            signal=signal,
            signal_rank=signal_rank,
            signals=signals,
            attention_signal=attention_signal,
            ffn_signal=ffn_signal,
            signal_init_std=signal_init_std,
            coordinates=coordinates,
            residual_scale=residual_scale,
        )
        resolved = resolve(VISION_ROWS[architecture], overrides, depth)
        for projection in parse_signals(signals) if signals else ():
            if projection not in resolved["signals"]:
                raise UserError(f"signals: the model has no {projection}")
        config = StackConfig(
            embed_dim=embed_dim,
            num_heads=num_heads,
            ffn_dim=ffn_dim,
            **resolved,
            signal_input=signal_input,
            init=init,
            pre_norm=True,
            attn_bias=True,
            ffn_bias=True,
            norm_eps=1e-6,
            dropout=proj_drop_rate,
            activation_dropout=proj_drop_rate,
            attention_dropout=attn_drop_rate,
            drop_path=drop_path_rate,
        )
        self.architecture = architecture
        self.num_classes, self.in_chans, self.global_pool = num_classes, in_chans, global_pool
        self.num_features = self.head_hidden_size = self.embed_dim = embed_dim
        self.num_prefix_tokens = 1
        self.dynamic_img_size = dynamic_img_size

        # Rows and columns stay apart until positions are added, which may be of another grid.
        any_size = dict(strict_img_size=False, output_fmt="NHWC") if dynamic_img_size else {}
        self.patch_embed = PatchEmbed(
            img_size, patch_size, in_chans, embed_dim, dynamic_img_pad=dynamic_img_pad, **any_size, **factory
        )
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim, **factory))
        length = self.patch_embed.num_patches + 1
        self.fixed_positions = self.pos_embed = None
        if not config.adds_positions:
            if pos_embed == "fixed":
                self.fixed_positions = FixedPositions(length, embed_dim, **factory)
            else:
                self.pos_embed = nn.Parameter(torch.empty(1, length, embed_dim, **factory))
        self.pos_drop = nn.Dropout(pos_drop_rate)
        self.stack = Stack(config, **factory)
        self.head_drop = nn.Dropout(drop_rate)
        self.head = self._make_head(**factory)
        self.feature_info = [
            dict(module=f"stack.{level}", num_chs=embed_dim, reduction=self.patch_embed.feat_ratio())
            for level in range(depth)
        ]
        self.init_weights()

    def _make_head(self, device=None, dtype=None) -> nn.Module:
        if self.num_classes <= 0:
            return nn.Identity()
        return nn.Linear(self.embed_dim, self.num_classes, device=device, dtype=dtype)

    @torch.no_grad()
    def init_weights(self) -> None:
        """Draw all weights anew, and compute what is not learned; for a model built on torch's meta device, too."""
        for module in (*self.stack.modules(), self.fixed_positions):
            if hasattr(module, "reset_parameters") and not isinstance(module, nn.Linear):
                module.reset_parameters()
        projection = self.patch_embed.proj
        trunc_normal_(projection.weight, std=projection.weight[0].numel() ** -0.5)
        nn.init.zeros_(projection.bias)
        nn.init.normal_(self.cls_token, std=1e-6)
        if self.pos_embed is not None:
            trunc_normal_(self.pos_embed, std=0.02)
        if isinstance(self.head, nn.Linear):
            trunc_normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        return {"pos_embed", "cls_token"}

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Parameters by depth, for layer-wise learning rates: what several levels share belongs to the last of them."""
        banks = [
            (rf"^stack\.{name}\.{copy}\.", (len(bank.sharing) - 1 - bank.sharing[::-1].index(copy),))
            for name, bank in self.stack.named_banks()
            for copy in range(len(bank))
        ]
        top = (self.stack.levels - 1,)
        return dict(
            stem=r"^cls_token|^pos_embed|^patch_embed",
            blocks=[*banks, (r"^stack\.signals", top), (r"^stack\.final_norm", (99999,))],
        )

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        self.stack.checkpoint_activations = enable

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new head for `num_classes` (0: none), with newly drawn weights."""
        if global_pool is not None:
            check_choice("global_pool", global_pool, POOLS)
            self.global_pool = global_pool
        self.num_classes = num_classes
        self.head = self._make_head(self.cls_token.device, self.cls_token.dtype).train(self.training)

    def set_input_size(self, img_size: Size | None = None, patch_size: Size | None = None) -> None:
        """Take images of another size: fixed positions are computed anew, learned ones resampled."""
        if not (self.dynamic_img_size and self.patch_embed.dynamic_img_pad):
            check_divisible(img_size or self.patch_embed.img_size, patch_size or self.patch_embed.patch_size)
        old_grid = self.patch_embed.grid_size
        self.patch_embed.set_input_size(img_size=img_size, patch_size=patch_size)
        if self.fixed_positions is not None:
            self.fixed_positions.resize(self.patch_embed.num_patches + 1)
        if self.pos_embed is not None and self.patch_embed.grid_size != old_grid:
            resampled = resample_abs_pos_embed(
                self.pos_embed, self.patch_embed.grid_size, old_grid, num_prefix_tokens=1
            )
            self.pos_embed = nn.Parameter(resampled.detach(), requires_grad=self.pos_embed.requires_grad)
        update_model_input_size(self, self.patch_embed.img_size, patch_size=patch_size)

    def reparameterize(self) -> None:
        """The weights are final: fold and lay them out for inference (:meth:`.Stack.reparameterize`)."""
        self.stack.reparameterize()

    def embed(self, x: Tensor) -> Tensor:
        """Images `(batch, in_chans, height, width)` as the stack's input `(batch, 1 + patches, embed_dim)`."""
        with span("embedding"):
            x = self.patch_embed(x)
        grid = None
        if self.dynamic_img_size:
            grid = x.shape[1], x.shape[2]
            x = x.flatten(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        if self.pos_embed is not None:
            x = x + (self.pos_embed if grid is None else self._resampled(grid))
        elif self.fixed_positions is not None:
            x = x + self.fixed_positions(None if grid is None else x.shape[1])
        return dropout(in_autocast_type(x), self.pos_drop)

    def _resampled(self, grid: tuple[int, int]) -> Tensor:
        """Learned positions for `grid`, rows and columns of patches, `(1, 1 + patches, embed_dim)`."""
        return resample_abs_pos_embed(self.pos_embed, grid, self.patch_embed.grid_size, num_prefix_tokens=1)

    def forward_features(self, x: Tensor) -> Tensor:
        """Images `(batch, in_chans, height, width)` to normalised tokens `(batch, 1 + patches, embed_dim)`."""
        return self.stack(self.embed(x)).state

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Tokens to logits `(batch, num_classes)`; with `pre_logits`, to what the head reads `(batch, embed_dim)`."""
        x = global_pool_nlc(x, self.global_pool, num_prefix_tokens=1)
        x = self.head_drop(x)
        if pre_logits:
            return x
        refuse_quantised(
            self.head, "timm's VisionTransformer first (fairseq_ringformer.export.timm_vit.fold_classifier)"
        )
        with span("output"):
            return self.head(x.to(self.cls_token.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Images `(batch, in_chans, height, width)` to logits `(batch, num_classes)`."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        return_prefix_tokens: bool = False,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
        output_dict: bool = False,
    ) -> Any:
        """Features after several levels, in timm's forms.

        Args:
            x: images `(batch, in_chans, height, width)`.
            indices: levels (counted from 0; negative from the end); a number takes the last so many, None all.
            return_prefix_tokens: pair each feature with its class token.
            norm: put features through the final norm, if the model still has it.
            stop_early: run no level beyond the last that is asked for.
            output_fmt: ``NCHW`` `(batch, embed_dim, rows, columns)` or ``NLC`` `(batch, patches, embed_dim)`.
            intermediates_only: leave out the final features.
            output_dict: a dictionary ``image_features``, ``image_intermediates``, ``image_intermediates_prefix``.
        """
        check_choice("output_fmt", output_fmt, ("NCHW", "NLC"))
        wanted, last = feature_take_indices(self.stack.levels, indices)
        size = x.shape[-2:]
        output = self.stack(self.embed(x), return_states=True, stop=last + 1 if stop_early else None)
        states = [output.states[level + 1] for level in wanted]
        if norm and self.stack.final_norm is not None:
            states = [self.stack.final_norm(state) for state in states]
        prefix, features = [state[:, :1] for state in states], [state[:, 1:] for state in states]
        if output_fmt == "NCHW":
            rows, columns = self.patch_embed.dynamic_feat_size(size)
            features = [feature.transpose(1, 2).unflatten(2, (rows, columns)).contiguous() for feature in features]
        if output_dict:
            result = {"image_intermediates": features}
            if return_prefix_tokens:
                result["image_intermediates_prefix"] = prefix
            return result if intermediates_only else {**result, "image_features": output.state}
        if return_prefix_tokens:
            features = list(zip(features, prefix))
        return features if intermediates_only else (output.state, features)

    def get_intermediate_layers(
        self,
        x: Tensor,
        n: int | list[int] | tuple[int, ...] = 1,
        reshape: bool = False,
        return_prefix_tokens: bool = False,
        norm: bool = False,
    ) -> list[Any]:
        """The features alone of :meth:`forward_intermediates`, as DINO calls it: of the last `n` levels, or of levels `n`.

        `reshape` gives `(batch, embed_dim, rows, columns)`, else `(batch, patches, embed_dim)`.
        """
        output_fmt = "NCHW" if reshape else "NLC"
        indices = n if isinstance(n, int) else list(n)
        return self.forward_intermediates(
            x, indices, return_prefix_tokens, norm, output_fmt=output_fmt, intermediates_only=True
        )

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop the levels after the last of `indices`, and what only they use; returns the levels asked for."""
        wanted, last = feature_take_indices(self.stack.levels, indices)
        self.stack.truncate(last + 1)
        if prune_norm:
            self.stack.final_norm = None
        if prune_head:
            self.reset_classifier(0, "")
        return wanted


def in_autocast_type(x: Tensor) -> Tensor:
    """`x` in the type that torch.autocast computes in, if it is on: the stack computes in the type of its input."""
    if isinstance(x, torch.fx.Proxy):
        return x
    device = x.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return x
    return x.to(torch.get_autocast_dtype(device))


def check_choice(name: str, value: str, choices) -> None:
    if value not in choices:
        raise UserError(f"{name} {value!r} is unknown: choose one of {', '.join(repr(choice) for choice in choices)}")


def check_divisible(img_size: Size, patch_size: Size) -> None:
    """UserError unless images split into whole patches."""
    image, patch = (size if isinstance(size, (tuple, list)) else (size, size) for size in (img_size, patch_size))
    if any(whole % part for whole, part in zip(image, patch)):
        raise UserError(
            f"images of {image[0]} x {image[1]} pixels are not divisible into patches of {patch[0]} x {patch[1]}"
        )
