"""Parameters and multiply-adds of a model, and the tables of the paper."""
