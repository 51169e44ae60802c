"""Folding a ring into a plain Transformer, and writing the result for what runs it."""
