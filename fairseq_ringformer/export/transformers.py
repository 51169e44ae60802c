"""A folded ring as a model of Hugging Face's transformers, which anybody's Python reads without fairseq.

A post-norm ring is an ``FSMTForConditionalGeneration`` (fairseq's WMT 2019 models), a pre-norm one an
``M2M100ForConditionalGeneration`` (fairseq's M2M-100): the two that keep fairseq's sinusoids and order of norms.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from fairseq.models import FairseqEncoderDecoderModel
from torch import Tensor, nn
from transformers import (
    FSMTConfig,
    FSMTForConditionalGeneration,
    GenerationConfig,
    M2M100Config,
    M2M100ForConditionalGeneration,
    PreTrainedModel,
)

from ..errors import UserError
from ..models.config import NORM_EPS, SIDES
from ..models.ringformer import RingFormerModel
from .fairseq_transformer import transformer_state
from .folding import why_not_plain
from .loading import flags_without_export

# fairseq's activations and transformers'.
ACTIVATIONS = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_accurate": "gelu_pytorch_tanh",
    "gelu_fast": "gelu_pytorch_tanh",
    "tanh": "tanh",
    "linear": "linear",
}
BOS, PAD, EOS, UNK = range(4)  # of every dictionary of fairseq
SOURCE, TARGET = (f"model.{side}.embed_tokens.weight" for side in SIDES)
OUTPUT = "model.decoder.output_projection.weight"
# What a row scores that is no symbol, and how large its weights may be: as float16 holds them.
NEVER, LARGEST = -50.0, 6e4


def to_transformers(
    model: FairseqEncoderDecoderModel,
    rows: Sequence[int],
    languages: tuple[str, str] = ("source", "target"),
    longest: int = 200,
) -> PreTrainedModel:
    """`model` in transformers, with fairseq's search as its own.

    Args:
        model: of this plug-in, or fairseq's `transformer`; in evaluation mode, in fp32. It is not changed.
        rows: of each id that the tokenizer gives, the symbol of the source dictionary whose embedding it has. The ids of
            translations are those of the target dictionary.
        languages: source and target, for the record.
        longest: most tokens of a translation, its end not counted.

    Raises:
        UserError: if transformers has no such model, saying why.
    """
    problem = next(_misfits(model), None)
    if problem is not None:
        raise UserError(problem)
    state = transformer_state(model) if isinstance(model, RingFormerModel) else model.state_dict()
    state = {f"model.{key}": weight.detach() for key, weight in state.items() if _is_weight(key)}
    symbols, pre_norm, suppressed = len(state[TARGET]), bool(model.cfg.encoder_normalize_before), [PAD]
    if pre_norm:
        rows = [*rows, *[UNK] * (symbols - len(rows))]
    state[SOURCE] = state[SOURCE][list(rows)]
    if pre_norm:
        suppressed += _one_number_of_symbols(state)
    output = state["lm_head.weight" if pre_norm else OUTPUT]
    tied = torch.equal(state[SOURCE], state[TARGET]) and torch.equal(state[TARGET], output)
    config = {**_config(model, state), "tie_word_embeddings": tied}
    if pre_norm:
        found = M2M100ForConditionalGeneration(M2M100Config(vocab_size=len(rows), **config))
    else:
        sizes: dict[str, Any] = {"src_vocab_size": len(rows), "tgt_vocab_size": symbols}
        found = FSMTForConditionalGeneration(FSMTConfig(langs=list(languages), **sizes, **config))
    _load(found, state)
    found.generation_config = search(min(longest, model.decoder.max_positions() - 1), suppressed)
    return found.eval()


def _one_number_of_symbols(state: dict[str, Tensor]) -> list[int]:
    """Give target and output in `state` as many rows as the source has, as M2M-100 wants it, under its names.

    Returns:
        ids that a search has to suppress; what no translation can be is a row that scores :data:`NEVER`, if it can be.
    """
    output, target = state.pop(OUTPUT), state[TARGET]
    surplus = range(len(target), len(state[SOURCE]))
    row = never(state["model.decoder.layer_norm.weight"], state["model.decoder.layer_norm.bias"]) if surplus else None
    if surplus:
        output = torch.cat([output, (torch.zeros_like(output[0]) if row is None else row).expand(len(surplus), -1)])
        state[TARGET] = torch.cat([target, target[UNK].expand(len(surplus), -1)])
    state["lm_head.weight"], state["model.shared.weight"] = output, state[SOURCE]
    return [] if row is not None else [*surplus]


def search(longest: int, suppressed: list[int]) -> GenerationConfig:
    """fairseq's beam search, with its defaults, for translations of at most `longest` tokens and their end.

    Every beam is searched to its end; no translation is empty; what is `suppressed` is never chosen; lengths
    count the end.
    """
    return GenerationConfig(
        num_beams=5,
        early_stopping=True,
        length_penalty=1.0,
        # Both count the token that the decoder starts with.
        min_length=2,
        max_length=longest + 2,
        suppress_tokens=suppressed,
        decoder_start_token_id=EOS,
        bos_token_id=BOS,
        pad_token_id=PAD,
        eos_token_id=EOS,
        forced_eos_token_id=EOS,
    )


def never(scale: Tensor, shift: Tensor) -> Tensor | None:
    """A row of an output projection that scores :data:`NEVER` for whatever a layer norm of `scale` and `shift` puts out.

    A norm's output is ``scale * n + shift`` with an ``n`` whose mean is zero. So the product with a row ``c / scale`` is
    ``c * sum(shift / scale)``, whatever ``n`` is. None where there is no shift to speak of, as before any training.
    """
    row = NEVER / (shift / scale).sum() / scale
    return row if row.abs().max() <= LARGEST else None


def _misfits(model: FairseqEncoderDecoderModel) -> Iterator[str]:
    """Why transformers has no such model."""
    options, sides = model.cfg, [getattr(model, side) for side in SIDES]
    if isinstance(model, RingFormerModel):
        yield from filter(None, (why_not_plain(side.stack) for side in sides))
    decoder = model.decoder
    output = decoder.output_projection
    activation = str(options.activation_fn)
    if activation not in ACTIVATIONS:
        yield f"transformers has no activation {activation}: it knows {', '.join(ACTIVATIONS)}"

    def differ(name: str) -> bool:
        return getattr(options, f"encoder_{name}") != getattr(options, f"decoder_{name}")

    for what, present in (
        ("sides of different --encoder-embed-dim and --decoder-embed-dim", differ("embed_dim")),
        ("norms before on one side and after on the other (--encoder-normalize-before)", differ("normalize_before")),
        ("no positions (--no-token-positional-embeddings)", any(side.embed_positions is None for side in sides)),
        (
            "learned positions (--encoder-learned-pos, --decoder-learned-pos): its own grow into sinusoids",
            any(isinstance(side.embed_positions, nn.Embedding) for side in sides),
        ),
        ("--layernorm-embedding", any(side.layernorm_embedding is not None for side in sides)),
        (f"--norm-eps other than {NORM_EPS}", getattr(options, "norm_eps", NORM_EPS) != NORM_EPS),
        (
            "--output-bias",
            getattr(decoder, "output_bias", None) is not None or getattr(output, "bias", None) is not None,
        ),
    ):
        if present:
            yield f"transformers has no model with {what}; --to ctranslate2 keeps it"
    yield from (f"transformers has no model with {flag}" for flag in flags_without_export(model))


def _is_weight(key: str) -> bool:
    return not key.endswith((".version", "embed_positions._float_tensor"))


def _config(model: FairseqEncoderDecoderModel, state: dict[str, Tensor]) -> dict[str, Any]:
    """What the configurations of both kinds have in common."""
    options = model.cfg
    config: dict[str, Any] = {
        "d_model": int(options.encoder_embed_dim),
        "max_position_embeddings": max(getattr(model, side).max_positions() for side in SIDES),
        "scale_embedding": not options.no_scale_embedding,
        "activation_function": ACTIVATIONS[str(options.activation_fn)],
        **{name: float(getattr(options, name)) for name in ("dropout", "attention_dropout", "activation_dropout")},
    }
    for side in SIDES:
        inner = [len(weight) for key, weight in state.items() if key.startswith(f"model.{side}.") and "fc1.w" in key]
        config[f"{side}_layers"], config[f"{side}_ffn_dim"] = len(inner), inner[0]
        config[f"{side}_attention_heads"] = int(getattr(options, f"{side}_attention_heads"))
        config[f"{side}_layerdrop"] = 0.0
    return config


def _load(model: PreTrainedModel, state: dict[str, Tensor]) -> None:
    """Load every weight of `state`; positions, which the model makes itself, are not among them."""
    known = {key: weight.shape for key, weight in model.state_dict().items() if "embed_positions" not in key}
    held = {key: weight.shape for key, weight in state.items()}
    different = sorted(key for key in {*known, *held} if known.get(key) != held.get(key))
    if different:
        name = different[0].removeprefix("model.")
        raise UserError(
            f"transformers has no such model: {name} is {_shape(held, different[0])} here, {_shape(known, different[0])} there"
        )
    model.load_state_dict(state, strict=False)


def _shape(shapes: dict[str, torch.Size], key: str) -> str:
    return str(tuple(shapes[key])) if key in shapes else "nothing"
