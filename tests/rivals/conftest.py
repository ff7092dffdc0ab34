"""The two kinds of decoder that the methods are tried on: 2 blocks of width 32, 257 tokens, no dropout."""

import pytest
import torch


def tiny_llama(layers: int = 2, seed: int = 3):
    """Grouped queries, no biases."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=257, hidden_size=32, intermediate_size=48, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, bos_token_id=256, eos_token_id=256, pad_token_id=256,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def make_llama():
    return tiny_llama


@pytest.fixture(params=["gpt2", "llama"])
def model(request, make_tiny):
    return make_tiny(seed=1, dropout=0.0) if request.param == "gpt2" else tiny_llama()


@pytest.fixture
def gpt2(make_tiny):
    return make_tiny(seed=1, dropout=0.0)
