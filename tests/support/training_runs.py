"""A short training run of a tiny model with dropout, the same each time it is asked for."""

import torch

import lorakit as lk
from lorakit import lab
from tests.support.tiny_models import build, byte_tokenizer

EXAMPLES = [lab.Example(f"say {letter}:", f" {letter * 3}") for letter in "abcdefghijk"]
TASK = lab.Task("repeat", EXAMPLES, EXAMPLES[:3], EXAMPLES[3:5], "share", lambda a, e: {"share": 0.5}, 4)
TOKENIZER = byte_tokenizer()
END = TOKENIZER.eos_token_id


def base():
    off = dict(resid_pdrop=0.1, embd_pdrop=0.1, attn_pdrop=0.1)
    return build(
        "gpt2", vocab_size=END + 1, n_positions=64, bos_token_id=END, eos_token_id=END, pad_token_id=END, **off
    )


def fresh(full: bool = False):
    """The base with a new adapter (dropout in both, so that random numbers matter), or the base to train whole."""
    if full:
        return base()
    config = lk.LoRAConfig(r=2, alpha=4, dropout=0.1, targets=("q", "v"))
    return lk.inject(base(), config, name="a", seed=1)


def run(model, **options):
    given = {"steps": 10, "batch_size": 4, "warmup": 3, "progress": False, **options}
    return lab.fit(model, TOKENIZER, TASK, **given)


def trained(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def frozen(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}


def tensors_of(parameters: dict, optimizer) -> dict[str, torch.Tensor]:
    """The trained tensors and the optimizer's moments, copied, under one name each."""
    found = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        found |= {f"{name}|{key}": value.clone() for key, value in optimizer.state.get(parameter, {}).items()}
    return found
