"""Training and evaluating image classifiers: ``Trainer(Options(...)).train()``."""
