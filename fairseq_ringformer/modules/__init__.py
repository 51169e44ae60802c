"""The ring in plain torch: signals, attention, feed-forward, sharing and the stack. Imports neither fairseq nor timm."""

from .attention import Attention
from .cache import DecoderCache
from .config import StackConfig
from .feed_forward import FeedForward
from .sharing import ROWS, Architecture, Bank, Row, parse_sharing
from .signals import FullRankSignal, LevelSignal, LowRankSignal, StaticSignal, project
from .stack import Stack, StackOutput

__all__ = [
    "Architecture",
    "Attention",
    "Bank",
    "DecoderCache",
    "FeedForward",
    "FullRankSignal",
    "LevelSignal",
    "LowRankSignal",
    "ROWS",
    "Row",
    "Stack",
    "StackConfig",
    "StackOutput",
    "StaticSignal",
    "parse_sharing",
    "project",
]
