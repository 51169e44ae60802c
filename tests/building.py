"""Tiny models for the tests, built from flags without fairseq's command line."""

import argparse

import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from torch import nn

import fairseq_ringformer.models  # noqa: F401  registers them
from fairseq_ringformer.models.config import RingFormerConfig
from fairseq_ringformer.modules import Stack
from fairseq_ringformer.modules.level import Context
from fairseq_ringformer.modules.weights import Weights

MODELS = ("ringformer", "universal_transformer", "one_wide_ffn", "vanilla_transformer")

# Every row of the paper's ablation table, and every variant of One Wide FFN, as flags.
ABLATIONS = {
    "static signal": ("universal_transformer", ()),
    "w/o attention signal": ("ringformer", ("--attention-signal", "none")),
    "w/o FF signal": ("ringformer", ("--ffn-signal", "none")),
    "before attention": ("ringformer", ("--attention-signal", "before")),
    "inter-FF": ("ringformer", ("--ffn-signal", "inter")),
    "rank H/32": ("ringformer", ("--signal-rank", "4")),
    "rank H/8": ("ringformer", ("--signal-rank", "16")),
    "full rank": ("ringformer", ("--signal", "full-rank")),
    "ours": ("ringformer", ()),
}
WIDE_FFN = {
    "SharedEnc": ("--encoder-ffn-sharing", "one", "--decoder-ffn-sharing", "own", "--decoder-ffn-norm-sharing", "own"),
    "SharedDec": ("--encoder-ffn-sharing", "own", "--encoder-ffn-norm-sharing", "own", "--decoder-ffn-sharing", "one"),
    "SharedEncSharedDec": ("--ffn-sharing", "one"),
    "SharedEncDec": ("--ffn-sharing", "one", "--share-encoder-decoder-ffn"),
    "NoDec": ("--encoder-ffn-sharing", "own", "--encoder-ffn-norm-sharing", "own"),
    "SharedEncNoDec": (),
}
# The rows of docs/papers.md, for three levels.
PAPERS = {
    "cycle_rev": ("vanilla_transformer", ("--norm-per", "sublayer", "--sharing", "cycle_rev:2")),
    "middle_cycle": ("ringformer", ("--sharing", "middle_cycle:3", "--encoder-layers", "4")),
    "wide middle": ("vanilla_transformer", ("--sharing", "0,1,0", "--ffn-widths", "24,80")),
    "residual transformer": (
        "vanilla_transformer",
        ("--sharing", "sequence:2", "--norm-sharing", "own", "--signal", "low-rank+diagonal", "--signals")
        + (",".join(f"{name}:after" for name in ("self_attn.qkv_proj", "cross_attn.kv_proj", "ffn.fc1", "ffn.fc2")),),
    ),
    "edgeformer": (
        "ringformer",
        ("--encoder-self-attn-sharing", "sequence:2", "--encoder-ffn-sharing", "cycle:2", "--decoder-layers", "2")
        + ("--decoder-ffn-embed-dim", "16"),
    ),
}
SMALL_SIZE = tuple(
    "--encoder-embed-dim 32 --encoder-ffn-embed-dim 48 --encoder-attention-heads 4 --decoder-attention-heads 4 "
    "--encoder-layers 3 --decoder-layers 3".split()
)


def dictionary(size: int) -> Dictionary:
    symbols = Dictionary()
    for index in range(size - len(symbols)):
        symbols.add_symbol(f"symbol{index}")
    return symbols


def parse(arch: str, *flags: str) -> RingFormerConfig:
    """The options that fairseq-train would build `arch` from."""
    parser = argparse.ArgumentParser(allow_abbrev=False, argument_default=argparse.SUPPRESS)
    ARCH_MODEL_REGISTRY[arch].add_args(parser)
    args = parser.parse_args(flags)
    ARCH_CONFIG_REGISTRY[arch](args)
    return RingFormerConfig.from_namespace(args)


def build(arch: str, *flags: str, vocabulary: int = 60, target_vocabulary: int = 0, seed: int = 1, small: bool = True):
    """A model with random weights, its signals away from zero as after training, in evaluation mode."""
    source = dictionary(vocabulary)
    target = dictionary(target_vocabulary) if target_vocabulary else source
    task = argparse.Namespace(source_dictionary=source, target_dictionary=target)
    torch.manual_seed(seed)
    model = ARCH_MODEL_REGISTRY[arch].build_model(parse(arch, *(SMALL_SIZE if small else ()), *flags), task)
    for name, parameter in model.named_parameters():
        if ".signals." in name:
            nn.init.normal_(parameter, std=0.2)
    return model.eval()


def batch(model, sentences: int = 3, source_length: int = 7, target_length: int = 9, seed: int = 2):
    """Random sentences: sources padded on the left as fairseq does, targets beginning with end-of-sentence."""
    torch.manual_seed(seed)
    source = torch.randint(4, len(model.encoder.dictionary), (sentences, source_length))
    source[:, -1] = model.encoder.dictionary.eos()
    source[0, :2] = model.encoder.dictionary.pad()
    target = torch.randint(4, len(model.decoder.dictionary), (sentences, target_length))
    target[:, 0] = model.decoder.dictionary.eos()
    return source, target


def context_of_a_pass(stack: Stack, x: torch.Tensor, weights: Weights, memory: torch.Tensor | None = None) -> Context:
    """What :func:`run_level` reads in a whole pass over `x`, where nothing is padding."""
    reads, coordinates = stack._memory(weights, memory, None), stack._coordinates(x, None, None)
    return Context(stack.config, None, False, reads, coordinates, None, (), stack.dropouts)
