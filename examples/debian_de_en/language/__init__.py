"""The toy grammar: words, phrases, clauses and sentences in German and English, and how they are drawn."""
