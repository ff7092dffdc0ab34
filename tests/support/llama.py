"""A Llama as people bring it, with an adapter as if trained: for what other libraries do to a model and its files."""

import torch
import transformers

import lorakit as lk

IDS = torch.tensor([[5, 6, 7, 8], [11, 12, 13, 14]])


def llama(**more):
    sizes = dict(vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    config = transformers.LlamaConfig(**{**sizes, "pad_token_id": 0, "tie_word_embeddings": False, **more})
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(config).eval()


def shaken(model):
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def adapted(model=None, name="default", **fields):
    return shaken(lk.inject(model or llama(), lk.LoRAConfig(**{"r": 4, "targets": ("q", "v"), **fields}), name=name))


@torch.no_grad()
def logits(model, ids=IDS):
    return model(input_ids=ids).logits
