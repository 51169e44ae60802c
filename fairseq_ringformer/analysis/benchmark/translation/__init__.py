"""Translation models against those of fairseq."""
