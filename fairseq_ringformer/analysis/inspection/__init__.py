"""What the levels of a trained model do: CKA, attention, signals."""
