"""How good a model is at a task: generate the answers, score them, and the loss on the true answers."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lorakit.core.errors import LoRAError
from lorakit.lab.tasks.classification import Classification, class_logits, class_loss
from lorakit.lab.tasks.task import Example, Task, collate, encode_all, encode_prompts, pad_rows
from lorakit.rivals.prefix import usable_context
from lorakit.study.answer_logits import answer_logits


def evaluate(
    model: nn.Module,
    tokenizer,
    task: Task,
    split: str = "test",
    limit: int | None = None,
    batch_size: int = 64,
    progress: bool = False,
    loss: bool = False,
) -> dict:
    """Generate an answer to every prompt of a split and score them; a task without a scorer is judged by likelihood.

    Returns the task's metrics by name, "answers" (list of str, in the split's order), and with `loss=True` also
    "loss": the mean over the true answers' tokens, in nats. By likelihood: "bits_per_byte" and "loss", no "answers".
    A classification's "answers" are the names of the likeliest classes, and its "loss" is the mean over the texts.
    `limit` takes the first so many examples.
    """
    examples = task.split(split)[:limit]
    if not examples:
        raise LoRAError(
            f"task {task.name!r} has nothing to evaluate: its {split} split has {len(task.split(split))} examples, "
            f"limit is {limit}"
        )
    if task.scorer is None:
        nats, tokens = total_loss(model, tokenizer, examples, batch_size)
        size = sum(len(example.answer.encode()) for example in examples)  # compares across tokenizers, as tokens do not
        return {"bits_per_byte": nats / math.log(2) / size, "loss": nats / tokens}
    if isinstance(task, Classification):
        answers, nats = classify(model, tokenizer, task, examples, batch_size)
    else:
        prompts = [example.prompt for example in examples]
        answers = generate_answers(model, tokenizer, prompts, task.max_new_tokens, batch_size, progress)
        nats = mean_loss(model, tokenizer, examples, batch_size) if loss else None
    return task.score(answers, examples) | ({"loss": nats} if loss else {}) | {"answers": answers}


@torch.no_grad()
def generate_answers(
    model: nn.Module,
    tokenizer,
    prompts: Sequence[str],
    max_new_tokens: int = 64,
    batch_size: int = 64,
    progress: bool = False,
) -> list[str]:
    """The most likely continuation of each prompt, token by token (greedy), up to its end-of-text token.

    Answers come without surrounding blanks, in the order of the prompts. The batch size changes the time, not the
    answers (up to ties within rounding). Raises LoRAError where a prompt leaves too little room in the context.
    """
    if isinstance(prompts, str):
        raise LoRAError("prompts must be a list of texts, got one text: write [prompt]")
    from tqdm.auto import tqdm
    from transformers import GenerationConfig

    rows = encode_prompts(prompts, tokenizer) if prompts else []
    context = context_length(model)
    for prompt, row in zip(prompts, rows, strict=True):
        if not row:
            raise LoRAError("a prompt is empty: there is nothing to continue")
        if context is not None and len(row) + max_new_tokens > context:
            raise LoRAError(
                f"a prompt of {len(row)} tokens and {max_new_tokens} new ones exceed the model's context of "
                f"{context}: {prompt[:60]!r}... Shorten it or lower max_new_tokens."
            )
    greedy = GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    device = next(model.parameters()).device
    answers = [""] * len(rows)
    with evaluating(model), tqdm(total=len(rows), desc="generate", disable=not progress, leave=False) as bar:
        for chosen in longest_first(list(map(len, rows)), batch_size):
            # Padded on the left, so that all answers begin at the same place.
            batch = pad_rows([rows[index] for index in chosen], tokenizer.pad_token_id, "left")  # (rows, longest)
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            output = model.generate(**batch, generation_config=greedy)
            for index, tokens in zip(chosen, output[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
                # No clean-up of blanks before punctuation: it would rewrite SQL and the spaced-out E2E sentences.
                text = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
                answers[index] = text.strip()
            bar.update(len(chosen))
    return answers


def longest_first(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """The rows' numbers in batches by length, so that a batch wastes little on padding.

    The longest come first, so that memory runs out at once or never.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    return (order[start : start + batch_size] for start in range(0, len(order), batch_size))


def mean_loss(model: nn.Module, tokenizer, examples: Sequence[Example], batch_size: int = 64) -> float:
    """Mean cross-entropy of the true answers' tokens (their end-of-text included), in nats."""
    total, count = total_loss(model, tokenizer, examples, batch_size)
    return total / count


@torch.no_grad()
def total_loss(model: nn.Module, tokenizer, examples: Sequence[Example], batch_size: int = 64) -> tuple[float, int]:
    """Summed cross-entropy of the true answers' tokens (their end-of-text included), in nats, and how many they are."""
    rows = encode_all(examples, tokenizer, context_length(model))
    total, count = 0.0, 0
    with evaluating(model):
        for chosen in longest_first([len(row.ids) for row in rows], batch_size):
            batch = collate([rows[index] for index in chosen], tokenizer.pad_token_id)
            part, tokens = answer_loss(model, batch)
            total, count = total + part.double().item(), count + tokens
    return total, count


@torch.no_grad()
def classify(
    model: nn.Module, tokenizer, task: Classification, examples: Sequence[Example], batch_size: int = 64
) -> tuple[list[str], float]:
    """The likeliest class of every text, by name and in order, and the mean cross-entropy of the true ones, in nats."""
    rows = task.encode(examples, tokenizer, context_length(model))
    answers, nats = [""] * len(rows), 0.0
    with evaluating(model):
        for chosen in longest_first([len(row.ids) for row in rows], batch_size):
            batch = task.collate([rows[index] for index in chosen], tokenizer.pad_token_id)
            logits = class_logits(model, batch).cpu()  # (rows, classes)
            nats += cross_entropy(logits, batch["labels"], reduction="sum").double().item()
            for index, number in zip(chosen, logits.argmax(dim=1).tolist(), strict=True):
                answers[index] = task.labels[number]
    return answers, nats / len(rows)


def loss_of(task: Task):
    """The loss that a task is trained on unless another is asked for, as an Objective (see lab.step)."""
    return class_loss if isinstance(task, Classification) else answer_loss


def answer_loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, int]:
    """Summed cross-entropy over the answer tokens of a batch, in nats, and how many there are.

    A sum and a count rather than a mean, so that parts of a batch (micro-batches, processes) add up exactly.
    """
    logits, targets = answer_logits(model, batch)  # (count, vocabulary), (count,)
    return cross_entropy(logits, targets, reduction="sum"), len(targets)


def context_length(model: nn.Module) -> int | None:
    """How many tokens of text the model can see at once, or None where its config does not say."""
    context = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if not context:
        return None
    embeddings = getattr(getattr(model, "base_model", None), "embeddings", None)
    pad = getattr(getattr(embeddings, "position_embeddings", None), "padding_idx", None)
    # RoBERTa counts positions from behind its pad token's number: 514 positions are 512 tokens.
    return usable_context(model) - (0 if pad is None else pad + 1)  # a prefix takes its part


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """eval mode inside, and afterwards every module back in the mode it had (they need not all agree)."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
