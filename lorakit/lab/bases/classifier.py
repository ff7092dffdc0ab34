"""An encoder with a fresh classification head: the base of a task whose answer is one of a few classes."""

import warnings
from contextlib import ExitStack

import torch

from lorakit.core.errors import LoRAError
from lorakit.study.head import head_modules


def read_classifier(source: str, dtype: torch.dtype, labels: int, seed: int, **where):
    """(model, tokenizer) from a folder or a Hub id, with a head of `labels` outputs drawn with `seed`.

    A head that is stored with the weights is kept if it has as many outputs. The tokenizer pads on the right: encoders
    count positions from the first token. Raises LoRAError where the weights are not an encoder's that fit the
    config, or the stored head has another number of outputs; OSError and so on as transformers does.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    stored = AutoConfig.from_pretrained(source, **where)
    has_head = any(name.endswith("ForSequenceClassification") for name in stored.architectures or ())
    if has_head and stored.num_labels != labels:
        raise LoRAError(
            f"{source} is a classifier with {stored.num_labels} classes, and {labels} are asked for: give "
            f"labels={stored.num_labels}, or load the encoder that it was made from"
        )
    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="right", **where)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    with torch.random.fork_rng(devices=[]), ExitStack() as afterwards:  # the weights are made on the CPU
        torch.manual_seed(seed)
        # Without transformers' table of missing weights: a new head is what was asked for, the rest is checked.
        afterwards.callback(logging.set_verbosity, logging.get_verbosity())
        logging.set_verbosity_error()
        model, report = AutoModelForSequenceClassification.from_pretrained(
            source, num_labels=labels, dtype=dtype, use_safetensors=True, output_loading_info=True, **where
        )
    _check_fresh(source, model, sorted(report["missing_keys"]))
    # A decoder used as a classifier reads its answer off the last token that is no padding.
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def _check_fresh(source: str, model, missing: list[str]) -> None:
    """Only the head may be new: anything else that the weights lack would be noise inside a pretrained model."""
    inside = [name for name in missing if name.split(".")[0] not in head_modules(model)]
    pooler = [name for name in inside if ".pooler." in name]  # BERT's, absent where only words were masked
    if absent := [name for name in inside if name not in pooler]:
        raise LoRAError(
            f"the weights in {source} are not those of its config: {absent[0]} is missing, one of {len(absent)}"
        )
    if pooler:
        owner = pooler[0].rpartition(".dense")[0]
        warnings.warn(
            f"{source} has no pretrained {owner}, so it is random like the head: train it with the head, as "
            f"modules_to_save={(*head_modules(model), owner)}",
            stacklevel=5,
        )
