"""What the levels of a trained model do: CKA, probes, attention, signals."""
