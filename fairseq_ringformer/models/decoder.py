"""fairseq's side of the decoder: previous output tokens to vocabulary scores, at once or step by step."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from fairseq.models import FairseqIncrementalDecoder
from torch import Tensor, nn

from ..modules import Bank, DecoderCache, Halting, StackConfig, StackOutput, build_stack
from ..modules.kernels import is_plain, is_touched, lay_out, span
from ..modules.prepared import Prepared, refuse_quantised, refuse_touched
from ..modules.projection import INITS
from .config import RingFormerConfig
from .embedding import InputEmbedding, fairseq_dropout
from .encoder import EncoderOut, sentences_of

CACHE = "cache"
# Weight and bias of the output head.
Head = tuple[Tensor, Tensor | None]


class RingFormerDecoder(InputEmbedding, FairseqIncrementalDecoder):
    """Embedding, decoder stack and output head; without cross-attention in its stack, a language model's.

    Args:
        cfg: the model's options.
        stack: what the stack is built from.
        dictionary: target dictionary.
        embed_tokens: target embeddings.
        own_embeddings: False if the encoder owns `embed_tokens` (``--share-all-embeddings``).
        ffn_bank: the encoder's feed-forward, if both sides share it.
    """

    def __init__(
        self,
        cfg: RingFormerConfig,
        stack: StackConfig,
        dictionary,
        embed_tokens: nn.Embedding,
        own_embeddings: bool = True,
        ffn_bank: Bank | None = None,
    ):
        super().__init__(dictionary)
        self.stack = build_stack(stack, ffn_bank=ffn_bank, make_dropout=fairseq_dropout(type(self).__name__))
        self.build_input(cfg, "decoder", embed_tokens, register=own_embeddings)
        self.need_attn = False
        self._prepared_head: Prepared[Head] | None = None
        # A tied head is the embedding table itself, not a second module that holds the same weight.
        self.output_projection = None
        self.output_bias = None
        if not (cfg.share_decoder_input_output_embed or cfg.share_all_embeddings):
            self.output_projection = nn.Linear(stack.embed_dim, len(dictionary), bias=cfg.output_bias)
            if stack.init == "xavier":  # as embeddings do, which it may be tied to
                nn.init.normal_(self.output_projection.weight, std=stack.embed_dim**-0.5)
            else:
                INITS[stack.init](self.output_projection.weight)
            if cfg.output_bias:
                nn.init.zeros_(self.output_projection.bias)
        elif cfg.output_bias:
            self.output_bias = nn.Parameter(embed_tokens.weight.new_zeros(len(dictionary)))

    def make_generation_fast_(self, need_attn: bool = False, **kwargs) -> None:
        """fairseq's hook before generating: attention weights are computed only if ``--print-alignment`` wants them.

        A language model beside a translator (``--lm-path``) has none.
        """
        self.need_attn = bool(need_attn) and self.stack.cross_attn is not None

    def forward(
        self,
        prev_output_tokens: Tensor,
        encoder_out: EncoderOut | None = None,
        incremental_state: dict[str, Any] | None = None,
        features_only: bool = False,
        exit_levels: Sequence[int] = (),
        **options,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Score the next token after every prefix of `prev_output_tokens` `(batch, tgt_len)`.

        Args:
            incremental_state: fairseq's state between steps; if given, only the last token is run.
            features_only: return features `(batch, tgt_len, embed_dim)` instead of scores.
            exit_levels: levels, counted from 1, whose scores are returned as if they were the last, by level under
                ``exit_scores``.
            options: see :meth:`extract_features`.

        Returns:
            scores `(batch, tgt_len, vocabulary)` and ``{"attn": [..], "inner_states": [..]}``; where positions halt by
            themselves also ``halting``, a :class:`~..modules.Halting` by side.
        """
        options["return_all_hiddens"] = options.get("return_all_hiddens", False) or bool(exit_levels)
        x, extra = self.extract_features(prev_output_tokens, encoder_out, incremental_state, **options)
        if exit_levels:
            final_norm = self.stack.final_norm or nn.Identity()
            states = {level: extra["inner_states"][level].transpose(0, 1) for level in exit_levels}
            extra["exit_scores"] = {level: self.output_layer(final_norm(state)) for level, state in states.items()}
        return (x if features_only else self.output_layer(x)), extra

    def extract_features(
        self,
        prev_output_tokens: Tensor,
        encoder_out: EncoderOut | None = None,
        incremental_state: dict[str, Any] | None = None,
        full_context_alignment: bool = False,
        alignment_layer: int | None = None,
        alignment_heads: int | None = None,
        src_lengths: Tensor | None = None,
        return_all_hiddens: bool = False,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Like :meth:`forward`, without the output head.

        Args:
            full_context_alignment: let every position see the whole target.
            alignment_layer: level whose cross-attention is returned, averaged over heads; default the last.
            alignment_heads: average over the first so many heads only.
            src_lengths: not used; fairseq passes it.
            return_all_hiddens: also return ``inner_states``, `(tgt_len, batch, embed_dim)` each.
        """
        positions = None
        if self.embed_positions is not None:
            positions = self.embed_positions(prev_output_tokens, incremental_state=incremental_state)
        token_positions = self.token_positions(prev_output_tokens)
        if incremental_state is not None:
            prev_output_tokens = prev_output_tokens[:, -1:]
            token_positions = None if token_positions is None else token_positions[:, -1:]
        with_weights = self.need_attn or alignment_layer is not None
        aligned = self.stack.levels - 1 if alignment_layer is None else alignment_layer
        x = self.finish_input(self.embed(prev_output_tokens), positions)
        need_weights = (aligned,) if with_weights else ()
        if incremental_state is not None:
            output = self._step(x, token_positions, encoder_out, incremental_state, return_all_hiddens, need_weights)
        else:
            causal = not full_context_alignment
            memory, memory_padding_mask = sentences_of(encoder_out, apart=True)
            output = self.stack(
                x,
                padding_mask=self._padding_that_shows(prev_output_tokens, causal),
                positions=token_positions,
                memory=memory,
                memory_padding_mask=memory_padding_mask,
                causal=causal,
                return_states=return_all_hiddens,
                need_weights=need_weights,
            )
        attn = None
        if with_weights:
            attn = output.attn_weights[aligned]["cross_attn"][:, :alignment_heads].mean(dim=1)
        states = [state.transpose(0, 1) for state in output.states or []]
        extra: dict[str, Any] = {"attn": [attn], "inner_states": states}
        if output.halting is not None:
            extra["halting"] = {"decoder": output.halting}
        return output.state, extra

    def _step(
        self,
        x: Tensor,
        positions: Tensor | None,
        encoder_out: EncoderOut | None,
        incremental_state: dict[str, Any],
        return_states: bool,
        need_weights: tuple[int, ...],
    ) -> StackOutput:
        """One step of `x` `(rows, 1, embed_dim)`: the stack sees the beams of a sentence side by side, and here they part."""
        cache = self.get_incremental_state(incremental_state, CACHE)
        memory, memory_padding_mask = None, None
        if cache is None:
            memory, memory_padding_mask = sentences_of(encoder_out)
            # Without a memory nothing says which rows are beams of one sentence: each has a past of its own.
            sentences = len(x) if memory is None else len(memory)
            cache = DecoderCache(self.stack.levels, sentences, len(x) // sentences)
            self.set_incremental_state(incremental_state, CACHE, cache)
        grid = (cache.sentences, cache.beams)
        output = self.stack(
            x.view(*grid, -1),
            positions=None if positions is None else positions.view(grid),
            memory=memory,
            memory_padding_mask=memory_padding_mask,
            cache=cache,
            return_states=return_states,
            need_weights=need_weights,
        )
        return StackOutput(
            output.state.view(x.shape),
            None if output.states is None else [state.view(x.shape) for state in output.states],
            {
                level: {part: weights.transpose(1, 2).flatten(0, 1).unsqueeze(2) for part, weights in parts.items()}
                for level, parts in output.attn_weights.items()
            },
            None if output.halting is None else Halting(*(part.view(x.shape[:2]) for part in output.halting)),
        )

    def output_layer(self, features: Tensor, **kwargs) -> Tensor:
        """Scores `(batch, tgt_len, vocabulary)` of `features` `(batch, tgt_len, embed_dim)`."""
        with span("output"):
            if self._head_is_touched:
                return self._touched_head(features)
            return F.linear(features, *self._head(features))

    @property
    def _head_is_touched(self) -> bool:
        return self.output_projection is not None and is_touched(self.output_projection, nn.Linear)

    def _touched_head(self, features: Tensor) -> Tensor:
        """The head called, with its hooks, adapters or prunings, in the type of its weights."""
        refuse_quantised(self.output_projection, "fairseq's transformer first (ringformer fold)")
        dtype = next(self.output_projection.parameters()).dtype
        return self.output_projection(features.to(dtype)).to(features.dtype)

    def _head(self, features: Tensor) -> Head:
        """The head's weights in the type of `features`; prepared ones where :meth:`reparameterize` was told so."""
        prepared = None
        if self._prepared_head is not None and not torch.is_grad_enabled() and not is_plain(features):
            prepared = self._prepared_head.get(features.dtype)
        return prepared or self._cast_head(features.dtype)

    def _head_parts(self) -> tuple[nn.Module, nn.Parameter | None]:
        """The module that holds the head's weight, and the bias of a tied head."""
        return self.embed_tokens if self.output_projection is None else self.output_projection, self.output_bias

    def _cast_head(self, dtype: torch.dtype) -> Head:
        weight, bias = self.embed_tokens.weight, self.output_bias
        if self.output_projection is not None:
            weight, bias = self.output_projection.weight, self.output_projection.bias
        return weight.to(dtype), None if bias is None else bias.to(dtype)

    def _lay_out_head(self, dtype: torch.dtype) -> Head:
        weight, bias = self._cast_head(dtype)
        return lay_out(weight), bias

    def reparameterize(self) -> None:
        """The weights are final: prepare the stack (:meth:`.Stack.reparameterize`, with its errors), and the head."""
        if self._head_is_touched:
            refuse_touched("output_projection")
        self._unprepare_head()
        self.stack.reparameterize()
        head, bias = self._head_parts()
        held = [] if bias is None else [nn.ParameterList([bias])]
        self._prepared_head = Prepared([head, *held], self._lay_out_head, self._head_parts)

    def _unprepare_head(self) -> None:
        if self._prepared_head is not None:
            self._prepared_head.end()
        self._prepared_head = None

    def train(self, mode: bool = True) -> "RingFormerDecoder":
        if mode:
            self._unprepare_head()
        return super().train(mode)

    def reorder_incremental_state(self, incremental_state: dict[str, Any], new_order: Tensor) -> None:
        """Follow the beam: row i continues what row ``new_order[i]`` was."""
        cache = self.get_incremental_state(incremental_state, CACHE)
        if cache is not None:
            cache.reorder(new_order)

    def reorder_incremental_state_scripting(self, incremental_state: dict[str, Any], new_order: Tensor) -> None:
        """fairseq's way in; all the state is here, so there is no need to look for it in every sub-module at every step."""
        self.reorder_incremental_state(incremental_state, new_order)

    def _padding_that_shows(self, tokens: Tensor, causal: bool) -> Tensor | None:
        # Padding on the right needs no mask: what a causal position sees lies to its left.
        padding_mask = tokens.eq(self.padding_idx)
        seen = padding_mask[:, 0] if causal else padding_mask
        return padding_mask if tokens.size(1) > 1 and seen.any() else None
