"""The `ringformer` command: one file per sub-command."""
