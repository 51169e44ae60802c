"""Text: sub-words, prepared data, and translating it with either engine."""
