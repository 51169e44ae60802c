"""The ring in plain torch: signals, attention, feed-forward, sharing and the stack. Imports neither fairseq nor timm."""

from .attention import CrossAttention, SelfAttention, attend, attention_mask
from .cache import DecoderCache
from .config import StackConfig
from .dropout import add_dropped, drop_probability, dropout
from .feed_forward import FeedForward
from .projection import Projection
from .sharing import ROWS, VISION_ROWS, Architecture, Bank, Row, parse_sharing
from .signals import FullRankSignals, LevelSignals, LowRankSignals, StaticSignal, coordinate_table
from .stack import Stack, StackOutput
from .weights import Keeps, Place, keep_weights, places, stack_weights

__all__ = [
    "Architecture",
    "Bank",
    "CrossAttention",
    "DecoderCache",
    "FeedForward",
    "FullRankSignals",
    "Keeps",
    "LevelSignals",
    "LowRankSignals",
    "Place",
    "Projection",
    "ROWS",
    "Row",
    "SelfAttention",
    "Stack",
    "StackConfig",
    "StackOutput",
    "StaticSignal",
    "VISION_ROWS",
    "add_dropped",
    "attend",
    "attention_mask",
    "coordinate_table",
    "drop_probability",
    "dropout",
    "keep_weights",
    "parse_sharing",
    "places",
    "stack_weights",
]
