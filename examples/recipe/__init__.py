"""What the recipes of several examples share: Debian packages, steps that are skipped when done, how they end."""

import sys
from pathlib import Path

# Data can be fetched before the project is installed: the modules of its package that do so need no other packages.
sys.path.append(str(Path(__file__).resolve().parents[2]))
