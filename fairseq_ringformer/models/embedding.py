"""The way in, the same on both sides: tokens and positions to the stack's input."""

import math
from collections.abc import Callable
from functools import partial

import torch
from fairseq import utils
from fairseq.modules import FairseqDropout, PositionalEmbedding
from torch import Tensor, nn

from ..modules.kernels import dropout, span
from .config import RingFormerConfig

# What --autocast means; None: the type of the weights.
COMPUTE_DTYPES = {"none": None, "bf16": torch.bfloat16}


class InputEmbedding:
    """What encoder and decoder share in front of their stacks; mixed into fairseq's base classes.

    The host sets its `stack` first: where that adds positions before every level, there are none here (arXiv 1807.03819,
    section 2.1).
    """

    def build_input(self, cfg: RingFormerConfig, side: str, embed_tokens: nn.Embedding, register: bool = True) -> None:
        """Set up embeddings and positions.

        Args:
            side: ``encoder`` or ``decoder``.
            embed_tokens: token embeddings `(vocabulary, embed_dim)`.
            register: whether this side owns `embed_tokens`; if the other side does, the table is used and not
                registered a second time, so that checkpoints and averages hold it once.
        """
        embed_dim = getattr(cfg, f"{side}_embed_dim")
        self.max_tokens = cfg.max_source_positions if side == "encoder" else cfg.max_target_positions
        self.padding_idx = embed_tokens.padding_idx
        if register:
            self.embed_tokens = embed_tokens
        else:
            object.__setattr__(self, "embed_tokens", embed_tokens)
        self.compute_dtype = COMPUTE_DTYPES[str(cfg.autocast)]
        self.embed_scale = 1.0 if cfg.no_scale_embedding else math.sqrt(embed_dim)
        self.embed_positions = None
        if not cfg.no_token_positional_embeddings and not self.stack.config.adds_positions:
            learned = getattr(cfg, f"{side}_learned_pos")
            self.embed_positions = PositionalEmbedding(self.max_tokens, embed_dim, self.padding_idx, learned=learned)
        self.layernorm_embedding = nn.LayerNorm(embed_dim, eps=cfg.norm_eps) if cfg.layernorm_embedding else None
        self.dropout_module = FairseqDropout(cfg.dropout, module_name=type(self).__name__)

    def embed(self, tokens: Tensor) -> Tensor:
        """Scaled embeddings `(batch, length, embed_dim)` of `tokens` `(batch, length)`, without positions."""
        with span("embedding"):
            return self.embed_scale * self.embed_tokens(tokens)

    def finish_input(self, x: Tensor, positions: Tensor | None) -> Tensor:
        """Add `positions`, normalise and drop out; the result is in the type that the stack computes in."""
        if positions is not None:
            x = x + positions
        if self.layernorm_embedding is not None:
            x = self.layernorm_embedding(x)
        if self.compute_dtype is not None:
            x = x.to(self.compute_dtype)
        return dropout(x, self.dropout_module)

    def token_positions(self, tokens: Tensor) -> Tensor | None:
        """Positions counted from 1, padding 0, `(batch, length)`, if the stack adds them before every level; else None."""
        if not self.stack.config.adds_positions:
            return None
        return utils.make_positions(tokens, self.padding_idx) - self.padding_idx

    def max_positions(self) -> int:
        """Longest input, in tokens."""
        if self.embed_positions is None:
            return self.max_tokens
        return min(self.max_tokens, self.embed_positions.max_positions)


def fairseq_dropout(owner: str) -> Callable[[float], nn.Module]:
    """Dropout that fairseq's ``--retain-dropout`` reaches, under the module name `owner`."""
    return partial(FairseqDropout, module_name=owner)
