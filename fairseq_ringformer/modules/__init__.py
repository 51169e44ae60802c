"""The ring in plain torch: sharing, signals, projections, one level and the loop. Imports neither fairseq nor timm.

To read it: :mod:`.sharing`, :mod:`.signals`, :mod:`.projection`, :mod:`.level`, :mod:`.stack`.
"""

from .cache import DecoderCache
from .config import StackConfig
from .halting import HaltingStack, build_stack
from .kernels import plain
from .projection import Projection
from .sharing import (
    PROJECTIONS,
    ROWS,
    VISION_ROWS,
    Architecture,
    Bank,
    Row,
    parse_exits,
    parse_sharing,
    parse_signals,
    resolve,
)
from .signals import (
    DiagonalSignals,
    FullRankSignals,
    LevelSignals,
    LowRankSignals,
    StaticSignal,
    SummedSignals,
    coordinate_table,
)
from .stack import Halting, Stack, StackOutput

__all__ = [
    "PROJECTIONS",
    "ROWS",
    "VISION_ROWS",
    "Architecture",
    "Bank",
    "DecoderCache",
    "DiagonalSignals",
    "FullRankSignals",
    "Halting",
    "HaltingStack",
    "LevelSignals",
    "LowRankSignals",
    "Projection",
    "Row",
    "Stack",
    "StackConfig",
    "StackOutput",
    "StaticSignal",
    "SummedSignals",
    "build_stack",
    "coordinate_table",
    "parse_exits",
    "parse_sharing",
    "parse_signals",
    "plain",
    "resolve",
]
