"""What the levels of a model do with a batch: their states and their attention weights.

Takes models of this package, and the stock models that they fold into: the states of both, the attention weights of
timm's VisionTransformer alone.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import UserError
from .models import LoadedModel

SIDES = ("encoder", "decoder")


class Trace(NamedTuple):
    """What one side of a model has made of a batch.

    `states`, if asked for: the input and the state after every level (before a final norm), `(batch, length,
    channels)` each. `attn_weights`, if asked for: by level, `(batch, heads, tgt_len, src_len)` under ``self_attn`` and
    ``cross_attn``. `present` `(batch, length)`: true where there is a token, false at padding.
    """

    states: list[Tensor]
    attn_weights: list[dict[str, Tensor]]
    present: Tensor


def is_translator(model: nn.Module) -> bool:
    """Whether `model` has an encoder and a decoder; else it is taken for an image classifier."""
    return hasattr(model, "encoder") and hasattr(model, "decoder")


def sides(model: nn.Module) -> dict[str, Any]:
    """The stacks of `model` by side: this package's ``Stack``, or a sequence of stock layers."""
    if is_translator(model):
        return {side: _stack(getattr(model, side)) for side in SIDES}
    # By name: timm need not be installed.
    if not hasattr(model, "stack") and not any(kind.__name__ == "VisionTransformer" for kind in type(model).__mro__):
        raise UserError(
            f"{type(model).__name__} has no levels that can be looked into: give a model of this package, or "
            "timm's VisionTransformer"
        )
    return {"encoder": _stack(model)}


def _stack(module: nn.Module) -> Any:
    for name in ("stack", "layers", "blocks"):
        if hasattr(module, name):
            return getattr(module, name)
    raise UserError(f"{type(module).__name__} has no levels that can be looked into")


def level_counts(model: nn.Module) -> dict[str, int]:
    """Number of levels of each side."""
    return {side: stack.levels if hasattr(stack, "levels") else len(stack) for side, stack in sides(model).items()}


def level_names(levels: int) -> list[str]:
    """Names of the states of :class:`Trace`."""
    return ["input", *map(str, range(1, levels + 1))]


@torch.no_grad()
def trace(
    model: nn.Module, batch: Mapping[str, Tensor], states: bool = False, attn_weights: bool = False
) -> dict[str, Trace]:
    """Run `model`, in evaluation mode, and return what each side did.

    Args:
        batch: of a translator fairseq's ``src_tokens``, ``src_lengths`` and ``prev_output_tokens``, each
            `(batch, length)`; of a classifier ``images`` `(batch, channels, height, width)`.

    Raises:
        UserError: if the model's attention weights cannot be read.
    """
    if is_translator(model):
        return _trace_translator(model, batch, states, attn_weights)
    sides(model)
    if not hasattr(model, "stack"):
        return {"encoder": _trace_timm(model, batch["images"], attn_weights)}
    wanted = range(model.stack.levels) if attn_weights else ()
    output = model.stack(model.embed(batch["images"]), return_states=states, need_weights=wanted)
    return {"encoder": Trace(output.states or [], _by_level(output), _everywhere(output.state))}


def _by_level(output: Any) -> list[dict[str, Tensor]]:
    return [output.attn_weights[level] for level in sorted(output.attn_weights)]


def _everywhere(state: Tensor) -> Tensor:
    return torch.ones(state.shape[:2], dtype=torch.bool, device=state.device)


def _trace_translator(
    model: nn.Module, batch: Mapping[str, Tensor], states: bool, attn_weights: bool
) -> dict[str, Trace]:
    source, target = batch["src_tokens"], batch["prev_output_tokens"]
    with contextlib.ExitStack() as hooks:
        by_side: dict[str, list[dict[str, Tensor]]] = {side: [] for side in SIDES}
        if attn_weights:
            by_side = {side: hooks.enter_context(_recorded_weights(stack)) for side, stack in sides(model).items()}
        encoded = model.encoder(source, batch["src_lengths"], return_all_hiddens=True)
        # Both this package's decoder and fairseq's return their inner states under this name.
        options = {} if hasattr(model.encoder, "layers") else {"return_all_hiddens": True}
        _, extra = model.decoder(target, encoder_out=encoded, features_only=True, **options)
    outputs = {"encoder": (source, encoded["encoder_states"]), "decoder": (target, extra["inner_states"])}
    return {
        side: Trace(
            [state.transpose(0, 1) for state in inner] if states else [],
            by_side[side],
            tokens.ne(model.encoder.padding_idx),
        )
        for side, (tokens, inner) in outputs.items()
    }


@contextlib.contextmanager
def _recorded_weights(stack: nn.Module) -> Iterator[list[dict[str, Tensor]]]:
    """Have `stack` compute the attention weights of all levels in its passes; the last pass's are in the list."""
    if not hasattr(stack, "levels"):
        raise UserError(
            "the attention weights of fairseq's own transformer cannot be read by head: take the checkpoint that it "
            "was folded from"
        )
    recorded: list[dict[str, Tensor]] = []

    def ask(module, args, kwargs):
        return args, {**kwargs, "need_weights": range(stack.levels)}

    def record(module, args, output):
        recorded[:] = _by_level(output)

    with stack.register_forward_pre_hook(ask, with_kwargs=True), stack.register_forward_hook(record):
        yield recorded


def _trace_timm(model: nn.Module, images: Tensor, attn_weights: bool) -> Trace:
    """A pass of timm's VisionTransformer, watched by hooks on its blocks."""
    states: list[Tensor] = []
    recorded: list[dict[str, Tensor]] = []

    def state(module, args, output):
        states.extend([args[0], output] if not states else [output])

    def weights(module, args, output):
        recorded.append({"self_attn": output})

    with contextlib.ExitStack() as stack:
        for block in model.blocks:
            stack.enter_context(block.register_forward_hook(state))
            if attn_weights:
                # Its fused attention has no weights; the plain one puts them through this module.
                stack.callback(setattr, block.attn, "fused_attn", block.attn.fused_attn)
                block.attn.fused_attn = False
                stack.enter_context(block.attn.attn_drop.register_forward_hook(weights))
        model.forward_features(images)
    return Trace(states, recorded, _everywhere(states[-1]))


def token_rows(traced: Trace, tokens: str = "each", prefix: int = 1) -> list[Tensor]:
    """The states of `traced` as rows `(rows, channels)`, one tensor for the input and for every level.

    Args:
        tokens: ``each`` token is a row, padding excluded; or there is one row for an image, of its ``class`` token or
            the ``mean`` over its patches.
        prefix: tokens in front of the patches.
    """
    if tokens == "each":
        return [state[traced.present] for state in traced.states]
    if tokens == "class":
        return [state[:, 0] for state in traced.states]
    return [state[:, prefix:].mean(dim=1) for state in traced.states]


class PairedRows(NamedTuple):
    """One side of a batch as two models have it.

    `first` and `second`: the states of every level, `(rows, channels)` each, the same tokens in the same rows. `sizes`
    `(batch,)`: how many rows each example has; they follow each other.
    """

    first: list[Tensor]
    second: list[Tensor]
    sizes: Tensor


def paired_rows(
    models: Sequence[LoadedModel], batches: Iterable[Sequence], side: str | None, tokens: str
) -> Iterator[dict[str, PairedRows]]:
    """Run two models on `batches` and give their states by side.

    Args:
        batches: for each model, what :func:`trace` reads.
        side: ``encoder`` or ``decoder`` alone, or None for all that there are.
        tokens: see :func:`token_rows`; the input of a class token is constant, and left out.

    Raises:
        UserError: if a model has no class token.
    """
    first, second = (loaded.model for loaded in models)
    prefixes = [getattr(model, "num_prefix_tokens", 0) for model in (first, second)]
    if tokens == "class" and not all(prefixes):
        raise UserError(f"{models[prefixes.index(0)].path}: the model has no class token: add --tokens mean")
    for batch in batches:
        traced = trace(first, batch[0], states=True)
        other = traced if second is first else trace(second, batch[-1], states=True)
        found = {}
        for name in traced:
            if side not in (None, name):
                continue
            rows, other_rows = (
                token_rows(own[name], tokens, prefix)[tokens == "class" :]
                for own, prefix in zip((traced, other), prefixes)
            )
            present = traced[name].present
            sizes = present.sum(1) if tokens == "each" else present.new_ones(len(present), dtype=torch.long)
            found[name] = PairedRows(rows, other_rows, sizes)
        yield found
