"""fairseq's side of the encoder: tokens to encoder output."""

import torch
from fairseq.models import FairseqEncoder
from torch import Tensor, nn

from ..modules import StackConfig, build_stack
from .config import RingFormerConfig
from .embedding import InputEmbedding, fairseq_dropout

EncoderOut = dict[str, list[Tensor]]


class RingFormerEncoder(InputEmbedding, FairseqEncoder):
    """Embedding and encoder stack.

    Args:
        cfg: the model's options.
        stack: what the stack is built from.
        dictionary: source dictionary.
        embed_tokens: source embeddings.
    """

    def __init__(self, cfg: RingFormerConfig, stack: StackConfig, dictionary, embed_tokens: nn.Embedding):
        super().__init__(dictionary)
        self.stack = build_stack(stack, make_dropout=fairseq_dropout(type(self).__name__))
        self.build_input(cfg, "encoder", embed_tokens)

    def forward(
        self, src_tokens: Tensor, src_lengths: Tensor | None = None, return_all_hiddens: bool = False
    ) -> EncoderOut:
        """Encode `src_tokens` `(batch, src_len)`.

        Returns:
            fairseq's dictionary of lists: ``encoder_out`` `(src_len, batch, embed_dim)`, ``encoder_padding_mask``
            `(batch, src_len)`, ``encoder_embedding`` `(batch, src_len, embed_dim)` and, with `return_all_hiddens`,
            ``encoder_states`` like ``encoder_out``: the input and the state after every level. ``halting`` holds the parts of
            a :class:`~..modules.Halting`, if there is one.
        """
        padding_mask = src_tokens.eq(self.padding_idx)
        embedding = self.embed(src_tokens)
        positions = None if self.embed_positions is None else self.embed_positions(src_tokens)
        output = self.stack(
            self.finish_input(embedding, positions),
            padding_mask=padding_mask if padding_mask.any() else None,
            positions=self.token_positions(src_tokens),
            return_states=return_all_hiddens,
        )
        return {
            "encoder_out": [output.state.transpose(0, 1)],
            "encoder_padding_mask": [padding_mask],
            "encoder_embedding": [embedding],
            "encoder_states": [state.transpose(0, 1) for state in output.states or []],
            "halting": [] if output.halting is None else [*output.halting],
            "fc_results": [],
            "src_tokens": [],
            "src_lengths": [],
        }

    def reorder_encoder_out(self, encoder_out: EncoderOut, new_order: Tensor) -> EncoderOut:
        """The same output for other rows: row i reads the sentence that row ``new_order[i]`` read.

        Nothing is copied for it: ``rows`` `(batch,)` then says which sentence each row reads, and :func:`sentences_of`
        resolves it. The beams of a sentence share what the decoder computes from it.
        """
        rows = encoder_out.get("rows")
        rows = new_order if not rows else rows[0].index_select(0, new_order)
        return {**encoder_out, "rows": [rows]}


def sentences_of(encoder_out: EncoderOut | None, apart: bool = False) -> tuple[Tensor | None, Tensor | None]:
    """What the decoder reads: `(sentences, src_len, embed_dim)`, and where that is padding `(sentences, src_len)` or None.

    Each sentence is read by as many consecutive rows of the decoder; with `apart`, or where rows do not lie so, by one.
    A language model has no encoder, and reads nothing.
    """
    if encoder_out is None:
        return None, None
    memory, padding_mask = encoder_out["encoder_out"][0].transpose(0, 1), encoder_out["encoder_padding_mask"][0]
    rows = encoder_out.get("rows")
    if rows:
        sentences = torch.arange(len(memory), device=memory.device)
        beams = 1 if apart else max(1, len(rows[0]) // len(memory))
        if not torch.equal(rows[0], sentences.repeat_interleave(beams)):
            memory, padding_mask = memory.index_select(0, rows[0]), padding_mask.index_select(0, rows[0])
    return memory, padding_mask if padding_mask.any() else None
