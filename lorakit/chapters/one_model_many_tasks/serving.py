"""Requests for different adapters arrive together: four ways to answer them with one base.

Each takes (model, ids (rows, length), names: one adapter per row or None, tokens) and returns the likeliest tokens,
(rows, tokens), in the order of the rows. They differ in time, not in what they answer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

import lorakit as lk
from lorakit.core.errors import LoRAError
from lorakit.lab.evaluate import evaluating, generate_answers
from lorakit.lab.tasks.task import encode_prompts


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


def write_texts(model: nn.Module, tokenizer, prompts: Sequence[str], names: Sequence[str | None], tokens: int = 48):
    """A list of texts: the likeliest continuation of each prompt, row i through adapter names[i], in one mixed batch.

    Texts come without surrounding blanks, up to the end-of-text token. Raises LoRAError as lk.using does, and where
    there is not one name per prompt.
    """
    if len(names) != len(prompts):
        raise LoRAError(f"{len(names)} names for {len(prompts)} prompts: give one per prompt")
    # generate_answers puts the longest prompt first; in that order already, rows stay where their adapters are.
    lengths = [len(ids) for ids in (encode_prompts(prompts, tokenizer) if prompts else [])]
    order = sorted(range(len(prompts)), key=lambda row: -lengths[row])
    texts = [""] * len(prompts)
    with evaluating(model), lk.using(model, [names[row] for row in order]):
        found = generate_answers(model, tokenizer, [prompts[row] for row in order], tokens, batch_size=len(order))
    for row, text in zip(order, found, strict=True):
        texts[row] = text
    return texts


def mixed(model: nn.Module, ids: Tensor, names: Sequence[str | None], tokens: int) -> Tensor:
    """All rows in one batch, each through its own adapter."""
    with lk.using(model, names):
        return write_tokens(model, ids, tokens)


def swapping(model: nn.Module, ids: Tensor, names: Sequence[str | None], tokens: int) -> Tensor:
    """Adapter by adapter: switch, then a batch of the rows that want it. The active adapter is as before afterwards."""
    return _by_adapter(model, ids, names, tokens, merged=False)


def merging(model: nn.Module, ids: Tensor, names: Sequence[str | None], tokens: int) -> Tensor:
    """Adapter by adapter: switch, merge, a batch of its rows, unmerge. The active adapter is as before afterwards."""
    return _by_adapter(model, ids, names, tokens, merged=True)


def peft_names(model: nn.Module, ids: Tensor, names: Sequence[str | None], tokens: int) -> Tensor:
    """PEFT's own mixed batch on a PeftModel: `adapter_names`, where "__base__" stands for no adapter."""
    return write_tokens(model, ids, tokens, adapter_names=[name or "__base__" for name in names])


def _by_adapter(model, ids, names, tokens, merged: bool) -> Tensor:
    if len(names) != len(ids):
        raise LoRAError(f"{len(names)} names for {len(ids)} rows: give one per row")
    before = lk.active_adapter(model)
    answers = torch.empty(len(ids), tokens, dtype=torch.long, device=ids.device)
    try:
        for name in dict.fromkeys(names):
            rows = [row for row, wanted in enumerate(names) if wanted == name]
            lk.set_adapter(model, name)
            if merged and name is not None:
                lk.merge(model)
            answers[rows] = write_tokens(model, ids[rows], tokens)
            if lk.is_merged(model):
                lk.unmerge(model)
    finally:
        if lk.is_merged(model):
            lk.unmerge(model)
        lk.set_adapter(model, before)
    return answers
