"""Tasks whose answer is one of a few classes: how a text and its class become tensors, and the loss."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lorakit.core.errors import LoRAError
from lorakit.lab.tasks.task import Encoded, Example, Task, check_length, pad_rows


def accuracy(answers: list[str], examples: list[Example]) -> dict[str, float]:
    """The share of answers that are right, 0..1."""
    right = sum(answer == example.answer for answer, example in zip(answers, examples, strict=True))
    return {"accuracy": right / len(examples) if examples else 0.0}


@dataclass(repr=False)
class Classification(Task):
    """A task for a classifier (`load_base(..., kind="classifier")`): nothing is generated, a class is chosen.

    An example's prompt is the whole text, its answer the name of its class. `labels` names the classes in the order of
    the model's outputs. Raises LoRAError for an answer that is none of them.
    """

    metric: str = "accuracy"
    scorer: Callable[[list[str], list[Example]], dict[str, float]] | None = field(default=accuracy, repr=False)
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.labels = tuple(self.labels)
        if strange := {example.answer for example in (*self.train, *self.validation, *self.test)} - set(self.labels):
            raise LoRAError(f"every answer must be one of {self.labels}, got also {', '.join(map(repr, strange))}")

    def encode(self, examples: Sequence[Example], tokenizer, max_length: int | None = None) -> list[Encoded]:
        """The texts as the encoder was trained to see them ([CLS] ... [SEP]), and the number of each one's class.

        Raises LoRAError for an empty text, or one longer than `max_length` tokens.
        """
        rows = tokenizer([example.prompt for example in examples], verbose=False)["input_ids"]
        for number, (example, row) in enumerate(zip(examples, rows, strict=True)):
            if not example.prompt.strip() or not row:
                raise LoRAError(f"example {number} is an empty text: there is nothing to classify")
            check_length(number, example, len(row), max_length)
        return [Encoded(row, [self.labels.index(e.answer)]) for e, row in zip(examples, rows, strict=True)]

    def collate(self, rows: Sequence[Encoded], pad_id: int) -> dict[str, torch.Tensor]:
        """A right-padded batch: input_ids and attention_mask (rows, longest), labels (rows,)."""
        batch = pad_rows([row.ids for row in rows], pad_id)
        return {**batch, "labels": torch.tensor([row.labels[0] for row in rows])}


def class_logits(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """A number for every class, (rows, classes), in float32. Raises LoRAError where the model is no such classifier."""
    device = next(model.parameters()).device
    options = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}
    logits = model(
        input_ids=batch["input_ids"].to(device), attention_mask=batch["attention_mask"].to(device), **options
    ).logits.float()  # (rows, classes)
    last = int(batch["labels"].max())
    if logits.ndim != 2 or logits.shape[1] <= last:
        raise LoRAError(
            f"the model's output has the shape {tuple(logits.shape)}, the task has classes 0 to {last} or more: load "
            'the base with load_base(..., kind="classifier", labels=len(task.labels))'
        )
    return logits


def class_loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, int]:
    """Summed cross-entropy of the true classes of a batch, in nats, and how many texts there are: an Objective."""
    logits = class_logits(model, batch)
    return cross_entropy(logits, batch["labels"].to(logits.device), reduction="sum"), len(batch["labels"])
