"""A ring as a model of CTranslate2, which runs it in C++, in int8 where asked, without torch and fairseq."""

import numpy
import torch
from ctranslate2.converters import Converter
from ctranslate2.specs import attention_spec, common_spec, model_spec, transformer_spec
from fairseq.models import BaseFairseqModel, FairseqLanguageModel
from torch import Tensor

from ..errors import UserError
from ..models.base import StackModel
from ..models.config import NORM_EPS, SIDES
from .folding import PlainLayer, plain_layers, position_table
from .loading import flags_without_export
from .runtime import INT8, SAFE_INT8

# fairseq's activations and CTranslate2's; it has no others of fairseq's.
ACTIVATIONS = {
    "relu": common_spec.Activation.RELU,
    "gelu": common_spec.Activation.GELU,
    "gelu_accurate": common_spec.Activation.GELUTanh,
    "gelu_fast": common_spec.Activation.GELUTanh,
    "tanh": common_spec.Activation.Tanh,
}
# Below this a row is zero: its scale would not be a float32.
TINY = 1e-30


class SafeInt8(model_spec.ModelSpec):
    """Of a specification: its int8 weights are at most :data:`.runtime.SAFE_INT8`, where CTranslate2's own reach 127."""

    def optimize(self, quantization: str | None = None) -> None:
        if quantization in INT8:
            model_spec.visit_spec(self, round_to_int8)
            quantization = None  # the rest stays float32
        super().optimize(quantization)


class TranslatorSpec(SafeInt8, transformer_spec.TransformerSpec):
    """What CTranslate2's ``Translator`` runs."""


class GeneratorSpec(SafeInt8, transformer_spec.TransformerDecoderModelSpec):
    """What its ``Generator`` runs."""


def round_to_int8(spec: model_spec.LayerSpec, name: str, value: model_spec.Variable) -> None:
    """Round a matrix that CTranslate2 has in int8, each row by its own scale."""
    key = name.rpartition("/")[2]
    if not hasattr(spec, f"{key}_scale"):
        return
    weight = value.to("float32").numpy()
    largest = numpy.abs(weight).max(axis=1)
    scale = SAFE_INT8 / numpy.where(largest > TINY, largest, SAFE_INT8)
    rounded = numpy.rint(weight * scale[:, None]).astype(numpy.int8)
    setattr(spec, key, model_spec.NumpyVariable(rounded))
    setattr(spec, f"{key}_scale", model_spec.NumpyVariable(scale.astype(numpy.float32)))


class RingConverter(Converter):
    """Converts a model of this plug-in, or fairseq's `transformer`, that is already in memory.

    Weights that are equal, such as those that levels share, are stored once.

    Args:
        model: in evaluation mode, in fp32; it is not changed.
        source, target: symbols of both dictionaries, in order.

    Raises:
        UserError: if CTranslate2 has no such model, saying why.
    """

    def __init__(self, model: BaseFairseqModel, source: list[str], target: list[str]):
        self.symbols = {"source": source, "target": target}
        self.sides = {side: getattr(model, side) for side in SIDES if hasattr(model, side)}
        self.options = options = model.cfg
        activation = str(options.activation_fn)
        if activation not in ACTIVATIONS:
            raise UserError(f"CTranslate2 has no activation {activation}: it knows {', '.join(ACTIVATIONS)}")
        for flag in flags_without_export(model):
            raise UserError(f"CTranslate2 has no model with {flag}")
        for side, host in zip(("target", "source"), reversed(self.sides.values())):
            known, named = len(host.embed_tokens.weight), len(self.symbols[side])
            if known != named:
                raise UserError(f"it knows {known} {side} symbols, the dictionary names {named}")
        self.activation = ACTIVATIONS[activation]
        self.layers = {side: _layers(model, side) for side in self.sides}
        # Heads and norm order are those of a side: CTranslate2 keeps them apart, though its own converter does not.
        self.heads = {side: getattr(options, f"{side}_attention_heads") for side in self.sides}
        self.pre_norm = {side: getattr(options, f"{side}_normalize_before") for side in self.sides}

    @torch.no_grad()
    def _load(self) -> TranslatorSpec:
        encoder = self._side("encoder", transformer_spec.TransformerEncoderSpec)
        spec = TranslatorSpec(encoder, self._decoder())
        spec.register_source_vocabulary(self.symbols["source"])
        spec.register_target_vocabulary(self.symbols["target"])
        spec.config.layer_norm_epsilon = getattr(self.options, "norm_eps", NORM_EPS)
        # fairseq ends the source with the end of the sentence and begins the target with it.
        spec.config.add_source_eos = True
        spec.config.decoder_start_token = spec.config.eos_token
        return spec

    def _decoder(self, **options) -> transformer_spec.TransformerDecoderSpec:
        decoder = self._side("decoder", transformer_spec.TransformerDecoderSpec, **options)
        host = self.sides["decoder"]
        if host.output_projection is None:
            decoder.projection.weight = host.embed_tokens.weight.clone()
            bias = host.output_bias
        else:
            decoder.projection.weight = host.output_projection.weight.clone()
            bias = host.output_projection.bias
        if bias is not None:
            decoder.projection.bias = bias.clone()
        return decoder

    def _side(self, side: str, kind: type, **options):
        host = self.sides[side]
        spec = kind(
            len(self.layers[side]),
            self.heads[side],
            pre_norm=self.pre_norm[side],
            activation=self.activation,
            layernorm_embedding=host.layernorm_embedding is not None,
            **({"alignment_heads": self.heads[side]} if side == "decoder" else {}),
            **options,
        )
        embeddings = spec.embeddings[0] if isinstance(spec.embeddings, list) else spec.embeddings
        embeddings.weight = host.embed_tokens.weight.clone()
        spec.scale_embeddings = float(host.embed_scale)
        spec.position_encodings.encodings = position_table(host)
        if host.layernorm_embedding is not None:
            _set_norm(spec.layernorm_embedding, dict(host.layernorm_embedding.named_parameters()), "")
        if self.pre_norm[side]:
            final_norm = host.stack.final_norm if hasattr(host, "stack") else host.layer_norm
            _set_norm(spec.layer_norm, dict(final_norm.named_parameters()), "")
        for layer_spec, layer in zip(spec.layer, self.layers[side]):
            _set_attention(layer_spec.self_attention, layer, "self_attn", ("q", "k", "v"))
            _set_norm(layer_spec.self_attention.layer_norm, layer, "self_attn_layer_norm.")
            if "encoder_attn_layer_norm.weight" in layer:
                _set_attention(layer_spec.attention, layer, "encoder_attn", ("q",), ("k", "v"))
                _set_norm(layer_spec.attention.layer_norm, layer, "encoder_attn_layer_norm.")
            _set_linear(layer_spec.ffn.linear_0, layer, "fc1")
            _set_linear(layer_spec.ffn.linear_1, layer, "fc2")
            _set_norm(layer_spec.ffn.layer_norm, layer, "final_layer_norm.")
        return spec


class LanguageModelConverter(RingConverter):
    """The same for a language model, of this plug-in or fairseq's `transformer_lm`: what CTranslate2's ``Generator`` runs.

    Args:
        model: in evaluation mode, in fp32; it is not changed.
        symbols: of its dictionary, in order.
        starts_with_bos: whether blocks of text began with ``<s>`` in training (``--add-bos-token``), not ``</s>``.
    """

    def __init__(self, model: FairseqLanguageModel, symbols: list[str], starts_with_bos: bool = False):
        super().__init__(model, [], symbols)
        output = model.decoder.output_projection
        if output is not None and len(output.weight) != len(symbols):
            raise UserError("CTranslate2 has no model with --output-dictionary-size")
        self.starts_with_bos = starts_with_bos

    @torch.no_grad()
    def _load(self) -> GeneratorSpec:
        spec = GeneratorSpec(self._decoder(with_encoder_attention=False))
        spec.register_vocabulary(self.symbols["target"])
        spec.config.layer_norm_epsilon = getattr(self.options, "norm_eps", NORM_EPS)
        if not self.starts_with_bos:
            spec.config.bos_token = spec.config.eos_token
        return spec


def _layers(model: BaseFairseqModel, side: str) -> list[PlainLayer]:
    if isinstance(model, StackModel):
        return plain_layers(getattr(model, side).stack)
    layers = [
        {name: weight.detach() for name, weight in layer.named_parameters()} for layer in getattr(model, side).layers
    ]
    # A folded ring's biases are zero: without them CTranslate2 has less to add.
    return [
        {name: weight for name, weight in layer.items() if "norm" in name or weight.dim() > 1 or weight.any()}
        for layer in layers
    ]


def _set_attention(spec: attention_spec.MultiHeadAttentionSpec, layer: PlainLayer, name: str, *inputs) -> None:
    """Projections that read the same input are one product in CTranslate2."""
    for linear, parts in zip(spec.linear, inputs):
        _set_linear(linear, layer, *(f"{name}.{part}_proj" for part in parts))
    _set_linear(spec.linear[-1], layer, f"{name}.out_proj")


def _set_linear(spec: common_spec.LinearSpec, layer: PlainLayer, *names: str) -> None:
    # Copies: quantising works in place.
    spec.weight = torch.cat([layer[f"{name}.weight"] for name in names])
    if any(f"{name}.bias" in layer for name in names):
        spec.bias = torch.cat(
            [layer.get(f"{name}.bias", spec.weight.new_zeros(len(layer[f"{name}.weight"]))) for name in names]
        )


def _set_norm(spec: common_spec.LayerNormSpec, weights: dict[str, Tensor], prefix: str) -> None:
    spec.gamma, spec.beta = weights[f"{prefix}weight"].detach().clone(), weights[f"{prefix}bias"].detach().clone()
