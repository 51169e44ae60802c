"""Puts the recipe and what the examples share on the path, as running its scripts does."""

import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path[:0] = [str(EXAMPLES / "debian_de_en"), str(EXAMPLES)]
