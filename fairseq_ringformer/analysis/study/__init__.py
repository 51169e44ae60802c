"""Training the rows of a table side by side, and telling what came out."""
