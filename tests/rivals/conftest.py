"""The two kinds of decoder that the methods are tried on: 2 blocks of width 32, 257 tokens, no dropout."""

import pytest

from tests.support.tiny_models import build

LLAMA = dict(vocab_size=257, hidden_size=32, intermediate_size=48, max_position_embeddings=64, pad_token_id=256)


def tiny_llama(layers: int = 2):
    """Grouped queries, no biases."""
    return build("llama", seed=3, **LLAMA, num_hidden_layers=layers, eos_token_id=256, bos_token_id=256)


@pytest.fixture(scope="session")
def make_llama():
    return tiny_llama


@pytest.fixture(params=["gpt2", "llama"])
def model(request, make_tiny):
    return make_tiny(seed=1, dropout=0.0) if request.param == "gpt2" else tiny_llama()


@pytest.fixture
def gpt2(make_tiny):
    return make_tiny(seed=1, dropout=0.0)
