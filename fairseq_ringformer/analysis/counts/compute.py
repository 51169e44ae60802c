"""Multiply-adds of a forward pass by part, and their check by a counter that watches the pass itself.

A ring can run in two forms: with its level signals as thin products beside the shared weights, or folded into them
(:mod:`~fairseq_ringformer.export.folding`), where they cost nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from ...errors import UserError
from ...modules import Stack, plain
from ...modules.sharing import BEFORE, RANKED

THIN, FOLDED = "thin", "folded"


@dataclass(frozen=True)
class PartCompute:
    """Multiply-adds of one part, all levels together; `thin` and `folded` differ in the signals alone."""

    part: str
    thin: int
    folded: int


def stack_compute(stack: Stack, length: int, memory_length: int = 0, side: str = "") -> list[PartCompute]:
    """Multiply-adds of `stack` over one sequence of `length` tokens, in closed form.

    Args:
        memory_length: tokens that a cross-attention reads; a causal attention counts in full, as it is computed.
        side: of a model that has two.

    Raises:
        UserError: for a stack with adaptive halting.
    """
    if stack.config.halting:
        raise UserError("positions halt by themselves: how much is computed is known only when it is")
    config, width = stack.config, stack.config.embed_dim
    prefix, levels = f"{side} " if side else "", stack.levels
    counts = {
        "self_attn projections": levels * length * 4 * width * width,
        "self_attn products": levels * 2 * length * length * width,
    }
    if stack.cross_attn is not None:
        memory_dim = config.memory_dim or width
        # Keys and values are projected once for the levels that share them: they do not depend on the state.
        times = levels if "cross_attn.kv_proj" in config.signals else len(stack.cross_attn)
        keys_values = times * memory_length * 2 * memory_dim * width
        counts["cross_attn projections"] = levels * length * 2 * width * width + keys_values
        counts["cross_attn products"] = levels * 2 * length * memory_length * width
    if stack.ffn is not None:
        counts["ffn"] = length * 2 * width * sum(config.ffn_dims)
    parts = [PartCompute(prefix + part, count, count) for part, count in counts.items()]
    if stack.signals is not None:
        tokens = {name: memory_length if name == "cross_attn.kv_proj" else length for name in config.signals}
        thin = sum(levels * tokens[name] * stack.signals_at(name).multiply_adds(0)[0] for name in config.signals)
        if config.signal_input == "state":  # each part of a packed projection reads a norm of its own
            packed = {name: stack.signals_at(name).parts for name, place in config.signals.items() if place == BEFORE}
            weights = {name: stack.projections_at(name)[0].weight.numel() for name in packed}
            thin += sum(levels * length * (parts - 1) * weights[name] for name, parts in packed.items())
        parts.append(PartCompute(f"{prefix}signals", thin, 0 if config.signal_input == "normalised" else thin))
    return parts


def classifier_compute(model: nn.Module) -> list[PartCompute]:
    """Multiply-adds of an image classifier over one image."""
    patches, weight = model.patch_embed.num_patches, model.patch_embed.proj.weight.numel()
    head = model.head.weight.numel() if isinstance(model.head, nn.Linear) else 0
    return [
        PartCompute("patch embedding", patches * weight, patches * weight),
        *stack_compute(model.stack, patches + 1),
        PartCompute("head", head, head),
    ]


def translator_compute(model: nn.Module, source: int, target: int) -> list[PartCompute]:
    """Multiply-adds of a translation model over one pair of sentences, the whole target at once (as in training)."""
    decoder = model.decoder.stack.config
    head = target * decoder.embed_dim * len(model.decoder.dictionary)
    return [
        *stack_compute(model.encoder.stack, source, side="encoder"),
        *stack_compute(model.decoder.stack, target, source, side="decoder"),
        PartCompute("output head", head, head),
    ]


def total(parts: list[PartCompute], form: str) -> int:
    """The sum over `parts` in a form, :data:`THIN` or :data:`FOLDED`."""
    return sum(getattr(part, form) for part in parts)


def _attention_forward(query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], *args, **kwargs) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(grad, query, key, value, *args, **kwargs) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)


# torch counts the fused attention of GPUs alone.
CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_forward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def multiply_adds(run: Callable[[], Any]) -> int:
    """Multiply-adds in the matrix products of what `run` does, attention and convolutions included."""
    with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
        run()
    return counter.get_total_flops() // 2


@torch.no_grad()
def measured(model: nn.Module, form: str, source: int = 0, target: int = 0) -> int:
    """Multiply-adds that torch's counter sees in a pass of `model`, which may be on the meta device.

    Args:
        form: :data:`THIN` or :data:`FOLDED`; folding itself is not counted, as it is done once per model.
        source, target: lengths, for a translation model.
    """
    model.eval()
    stacks = [module for module in model.modules() if isinstance(module, Stack)]
    dtype, device = next(model.parameters()).dtype, next(model.parameters()).device

    def run() -> None:
        if not source:
            model(torch.zeros(1, model.in_chans, *model.patch_embed.img_size, dtype=dtype, device=device))
            return
        # The stacks and the head by themselves: looking tokens up multiplies nothing.
        encoder, decoder = model.encoder.stack, model.decoder.stack
        memory = encoder(torch.zeros(1, source, encoder.config.embed_dim, dtype=dtype, device=device)).state
        tokens = torch.zeros(1, target, decoder.config.embed_dim, dtype=dtype, device=device)
        model.decoder.output_layer(decoder(tokens, memory=memory, causal=True).state)

    if form == THIN:
        with plain():
            return multiply_adds(run)
    for stack in stacks:
        stack.reparameterize()
    run()  # prepares
    count = multiply_adds(run)
    for stack in stacks:
        stack.unprepare()
    return count


def papers_convention(model: nn.Module) -> dict[str, int]:
    """Operations of an image classifier as the paper seems to have counted them (section 4.2; reconstructed).

    A multiply-add is one, and so is every addition to the state and every attention score; a layer norm takes 5 an
    element, a GELU 6. That gives the published 17.636 G of a plain ViT 768/3072. The published 19.03 G of RingFormer adds,
    at every level, multiplying out its signals' A B^T, adding them to the shared weights, and to the states: none of
    which a ring has to do for every image.

    Returns:
        ``plain``: without signals; ``signals``: with them.
    """
    config, stack = model.stack.config, model.stack
    tokens, width = model.patch_embed.num_patches + 1, config.embed_dim
    sublayers = stack.levels * (2 if stack.ffn is not None else 1)
    norms = (sublayers + 1) * tokens * width * 5
    activations = tokens * sum(config.ffn_dims) * 6
    additions = (sublayers + 1) * tokens * width  # of the sub-layers, and of the positions
    scores = stack.levels * config.num_heads * tokens * tokens
    plain = total(classifier_compute(model), FOLDED) + norms + activations + additions + scores
    signals = 0
    for level_signals in () if stack.signals is None else stack.signals.values():
        size = level_signals.parts * level_signals.out_dim * level_signals.in_dim
        rank = config.rank if config.signal in RANKED else 0
        signals += stack.levels * (size * rank + size + level_signals.parts * tokens * level_signals.out_dim)
    return {"plain": plain, "signals": plain + signals}
