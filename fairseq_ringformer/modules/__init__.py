"""The ring in plain torch: sharing, signals, projections, one level and the loop. Imports neither fairseq nor timm.

To read it: :mod:`.sharing`, :mod:`.signals`, :mod:`.projection`, :mod:`.level`, :mod:`.stack`.
"""

from .cache import DecoderCache
from .config import StackConfig
from .kernels import plain
from .projection import Projection
from .sharing import PROJECTIONS, ROWS, VISION_ROWS, Architecture, Bank, Row, parse_sharing, parse_signals, resolve
from .signals import FullRankSignals, LevelSignals, LowRankSignals, StaticSignal, coordinate_table
from .stack import Stack, StackOutput

__all__ = [
    "PROJECTIONS",
    "ROWS",
    "VISION_ROWS",
    "Architecture",
    "Bank",
    "DecoderCache",
    "FullRankSignals",
    "LevelSignals",
    "LowRankSignals",
    "Projection",
    "Row",
    "Stack",
    "StackConfig",
    "StackOutput",
    "StaticSignal",
    "coordinate_table",
    "parse_sharing",
    "parse_signals",
    "plain",
    "resolve",
]
