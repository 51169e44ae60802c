"""A folded language model as Hugging Face's ``OPTForCausalLM``, the stock decoder of `transformers` that it equals.

OPT (arXiv 2205.01068) came from fairseq: its layers are pre-norm or post-norm, with biases or without, and its positions,
from the third row on, are a table, which holds sinusoids as well. Only the scale of embeddings is not there; it goes
into the table, so a tied head becomes one of its own.
"""

import torch
from torch import Tensor
from transformers import OPTConfig, OPTForCausalLM

from ..errors import UserError
from ..models.config import NORM_EPS
from ..models.language_model import RingFormerLanguageModel
from .folding import plain_layers, position_table, with_biases
from .transformers import ACTIVATIONS

OFFSET = 2  # rows of its position table before the first position


@torch.no_grad()
def opt_model(model: RingFormerLanguageModel, starts_with_bos: bool = False) -> OPTForCausalLM:
    """The OPT that equals `model`, which is in evaluation mode and in fp32, and is not changed.

    Args:
        starts_with_bos: whether blocks of text began with ``<s>`` in training (``--add-bos-token``), not ``</s>``.

    Raises:
        UserError: if transformers has no such model, saying why.
    """
    decoder, options = model.decoder, model.cfg
    head = decoder.embed_tokens if decoder.output_projection is None else decoder.output_projection
    activation = str(options.activation_fn)
    for what, present in (
        ("--layernorm-embedding", decoder.layernorm_embedding is not None),
        ("--output-bias", decoder.output_bias is not None or getattr(head, "bias", None) is not None),
        (f"--norm-eps other than {NORM_EPS}", options.norm_eps != NORM_EPS),
        ("--output-dictionary-size", len(head.weight) != len(decoder.embed_tokens.weight)),
        (f"--activation-fn {activation}", activation not in ACTIVATIONS),
    ):
        if present:
            raise UserError(f"transformers' OPT has no {what}")
    layers, positions = plain_layers(decoder.stack), position_table(decoder)
    biased = options.attn_bias or options.ffn_bias
    if biased:
        layers = with_biases(layers)
    state: dict[str, Tensor] = {
        "model.decoder.embed_tokens.weight": decoder.embed_scale * decoder.embed_tokens.weight,
        "model.decoder.embed_positions.weight": torch.cat([positions.new_zeros(OFFSET, positions.size(1)), positions]),
        "lm_head.weight": head.weight,
    }
    for level, layer in enumerate(layers):
        state.update((f"model.decoder.layers.{level}.{name}", weight) for name, weight in layer.items())
    if decoder.stack.final_norm is not None:
        norm = decoder.stack.final_norm.state_dict()
        state.update((f"model.decoder.final_layer_norm.{name}", weight) for name, weight in norm.items())
    symbols = decoder.dictionary
    found = OPTForCausalLM(
        OPTConfig(
            vocab_size=len(head.weight),
            hidden_size=options.decoder_embed_dim,
            word_embed_proj_dim=options.decoder_embed_dim,
            ffn_dim=len(layers[0]["fc1.weight"]),
            num_hidden_layers=len(layers),
            num_attention_heads=options.decoder_attention_heads,
            max_position_embeddings=len(positions),
            do_layer_norm_before=options.decoder_normalize_before,
            activation_function=ACTIVATIONS[activation],
            enable_bias=biased,
            tie_word_embeddings=False,
            dropout=options.dropout,
            attention_dropout=options.attention_dropout,
            pad_token_id=symbols.pad(),
            bos_token_id=symbols.bos() if starts_with_bos else symbols.eos(),
            eos_token_id=symbols.eos(),
        )
    )
    found.load_state_dict(state, strict=True)
    return found.eval()
