"""Small GPT-2s of many shapes, and batches for them: the steps whose memory is predicted and measured."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import lorakit as lk

# Shapes whose peaks lie in different places: the logits, the MLP's backward pass, the optimizer.
WIDE_VOCABULARY = dict(n_layer=2, n_embd=64, n_head=2, vocab_size=3000), 8, 60
SHORT = dict(n_layer=6, n_embd=128, n_head=2, vocab_size=200), 4, 20
LONG = dict(n_layer=3, n_embd=128, n_head=4, vocab_size=100), 2, 200
ONE_WORD = dict(n_layer=2, n_embd=128, n_head=2, vocab_size=2000), 1, 16


def build(shape: dict, method="full", targets=("q", "v"), gelu="gelu_pytorch_tanh", dtype="fp32"):
    torch.manual_seed(0)
    off = dict(attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0, bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(GPT2Config(n_positions=256, activation_function=gelu, **off, **shape))
    if dtype == "bf16":
        model.bfloat16()
    if method == "lora":
        lk.inject(model, lk.LoRAConfig(r=4, targets=targets), seed=0)
    return model.train()


def batch_of(rows: int, length: int, vocabulary: int, prompt: int = 1, padding: int = 0):
    """A batch with `prompt` tokens that do not count, and `padding` at the end of the first row."""
    torch.manual_seed(1)
    ids = torch.randint(0, vocabulary, (rows, length))
    labels, mask = ids.clone(), torch.ones(rows, length, dtype=torch.long)
    labels[:, :prompt] = -100
    if padding:
        labels[0, -padding:], mask[0, -padding:] = -100, 0
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}
