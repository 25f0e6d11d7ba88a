import pytest
from tiny_longllava import tiny_model

from longllava_domains.adapters.data.encode import Encoder


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """Encodes for a tiny network: four tokens for each view."""
    processor = tiny_model().processor
    return Encoder(processor.tokenizer, processor.config)
