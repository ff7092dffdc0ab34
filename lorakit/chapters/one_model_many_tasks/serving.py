"""Requests for different adapters arrive together: ways to answer them with one base.

Each takes (model, ids (rows, length), names: one adapter per row or None, tokens) and returns the likeliest tokens,
(rows, tokens), in the order of the rows. They differ in time, not in what they answer.
"""

from collections.abc import Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

import lorakit as lk


@torch.no_grad()
def write_tokens(model: nn.Module, ids: Tensor, tokens: int, **more) -> Tensor:
    """The likeliest next `tokens` of each row: (rows, length) → (rows, tokens), with a cache; rows without padding.

    `more` goes to the model with every call. Nothing stops at an end-of-text token, so that the work is always equal.
    """
    cache, written, step = None, [], ids
    mask = ids.new_ones(len(ids), ids.shape[1] + tokens)  # all of it is read; transformers warns where it is not said
    for number in range(tokens):
        seen = mask[:, : ids.shape[1] + number]
        out = model(
            input_ids=step, attention_mask=seen, past_key_values=cache, use_cache=True, logits_to_keep=1, **more
        )
        cache, step = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)  # (rows, 1)
        written.append(step)
    return torch.cat(written, dim=1)


def mixed(model: nn.Module, ids: Tensor, names: Sequence[str | None], tokens: int) -> Tensor:
    """All rows in one batch, each through its own adapter."""
    with lk.using(model, names):
        return write_tokens(model, ids, tokens)


def peft_mixed(model: nn.Module, ids: Tensor, names: Sequence[str | None], tokens: int) -> Tensor:
    """PEFT's own mixed batch on a PeftModel: `adapter_names`, where "__base__" stands for no adapter."""
    return write_tokens(model, ids, tokens, adapter_names=[name or "__base__" for name in names])


def swapping(model: nn.Module, ids: Tensor, names: Sequence[str | None], tokens: int, merged: bool = False) -> Tensor:
    """Adapter by adapter: switch, then a batch of the rows that want it; afterwards the active adapter is as before.

    merged  merge each adapter before its batch and unmerge it afterwards
    """
    answers = ids.new_empty(len(ids), tokens)
    with put_back(model):
        for name in dict.fromkeys(names):
            rows = [row for row, wanted in enumerate(names) if wanted == name]
            lk.set_adapter(model, name)
            if merged and name is not None:
                lk.merge(model)
            answers[rows] = write_tokens(model, ids[rows], tokens)
            if lk.is_merged(model):
                lk.unmerge(model)
    return answers


@contextmanager
def put_back(model: nn.Module):
    """After the block nothing is merged and the adapter is active that was before, whatever happens inside."""
    before = lk.active_adapter(model)
    try:
        yield
    finally:
        if lk.is_merged(model):
            lk.unmerge(model)
        lk.set_adapter(model, before)
