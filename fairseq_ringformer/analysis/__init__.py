"""What models are made of and what they do: parameter tables."""
