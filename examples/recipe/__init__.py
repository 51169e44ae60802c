"""What the recipes of several examples share: Debian packages, steps that are skipped when done, their errors."""
