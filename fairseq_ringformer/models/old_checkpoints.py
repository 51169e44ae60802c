"""Checkpoints from before queries, keys and values were packed into one weight, and signals into one per projection."""

import re

import torch
from torch import Tensor

PACKED = re.compile(r"(.*\.stack\.(?:self|cross)_attn\.\d+\.)([qkv])_proj\.(weight|bias)")
SIGNAL = re.compile(r"(.*\.stack\.signals\.)(\d+)\.(q|k|v|ffn)\.(up|down|weight)")


def pack_old_weights(state_dict: dict[str, Tensor]) -> None:
    """Turn the separate weights of an old `state_dict` into the packed ones, in place; a new one stays as it is."""
    for key in [key for key in state_dict if key.endswith(("k_proj.weight", "k_proj.bias"))]:
        match = PACKED.fullmatch(key)
        if match:
            prefix, _, kind = match.groups()
            parts = "kv" if ".cross_attn." in prefix else "qkv"
            state_dict[f"{prefix}{parts}_proj.{kind}"] = torch.cat(
                [state_dict.pop(f"{prefix}{part}_proj.{kind}") for part in parts]
            )
    for key in [key for key in state_dict if SIGNAL.fullmatch(key)]:
        if key not in state_dict:
            continue  # packed with one before it
        prefix, _, part, kind = SIGNAL.fullmatch(key).groups()
        parts = ("ffn",) if part == "ffn" else ("q", "k", "v")
        levels = []
        while f"{prefix}{len(levels)}.{part}.{kind}" in state_dict:
            level = len(levels)
            levels.append(torch.stack([state_dict.pop(f"{prefix}{level}.{own}.{kind}") for own in parts]))
        state_dict[f"{prefix}{'ffn' if part == 'ffn' else 'attn'}.{kind}"] = torch.stack(levels)
