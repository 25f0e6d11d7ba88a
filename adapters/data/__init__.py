"""Training data: rows of any known layout become conversations, then packed rows of tokens."""
