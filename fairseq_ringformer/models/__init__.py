"""fairseq's side: options, encoder, decoder, and the registered models and architectures."""
