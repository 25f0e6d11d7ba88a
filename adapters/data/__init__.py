"""Training data: rows of any known layout become conversations, then packed rows of tokens."""

from longllava_domains.adapters.data.open import open_data

__all__ = ["open_data"]
