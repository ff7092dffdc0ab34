"""A task: prompts with their answers, how they become tensors, and how answers are scored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch.nn.utils.rnn import pad_sequence

from lorakit.core.errors import LoRAError
from lorakit.study.answer_logits import IGNORED


@dataclass(frozen=True)
class Example:
    """One question and its answer.

    prompt  ends right before the answer, without a trailing space: "...\\nsql:"
    answer  begins with a space, " SELECT ...", so that prompt and answer tokenize as one text would; the
            end-of-text token is added by `encode`
    info    what scoring needs: a table's rows, all references, ...
    """

    prompt: str
    answer: str
    info: dict = field(default_factory=dict, hash=False)


@dataclass
class Task:
    """Examples to learn from, to choose by and to report on, with the metric that judges answers.

    `scorer(answers, examples)` gives a dict of metrics, fractions in 0..1 (BLEU: 0..100); `metric` names the
    headline one; `max_new_tokens` bounds a generated answer. `note` says what a reader of the scores must know.
    Where `scorer` is None nothing is generated: the task is a text to be predicted, judged in bits per byte.
    """

    name: str
    train: list[Example]
    validation: list[Example]
    test: list[Example]
    metric: str
    scorer: Callable[[list[str], list[Example]], dict[str, float]] | None = field(repr=False)
    max_new_tokens: int = 64
    note: str = ""

    def score(self, answers: list[str], examples: list[Example]) -> dict[str, float]:
        """The metrics of `answers`, one per example; a missing one must be ""."""
        if self.scorer is None:
            raise LoRAError(f"task {self.name!r} is judged by likelihood, not by answers: use evaluate")
        if len(answers) != len(examples):
            raise LoRAError(f"{len(answers)} answers for {len(examples)} examples: give one answer per example")
        return self.scorer(answers, examples)

    def split(self, name: str) -> list[Example]:
        """The examples of "train", "validation" or "test"."""
        if name not in ("train", "validation", "test"):
            raise LoRAError(f'split must be "train", "validation" or "test", got {name!r}')
        return getattr(self, name)

    def encode(self, examples: Sequence[Example], tokenizer, max_length: int | None = None) -> list["Encoded"]:
        """The examples as token ids and labels: `encode_all`, unless the task is of another kind."""
        return encode_all(examples, tokenizer, max_length)

    def collate(self, rows: Sequence["Encoded"], pad_id: int) -> dict[str, torch.Tensor]:
        """Encoded examples as a training batch: `collate`, unless the task is of another kind."""
        return collate(rows, pad_id)

    def __repr__(self) -> str:
        sizes = f"{len(self.train)} train, {len(self.validation)} validation, {len(self.test)} test"
        return f"Task({self.name!r}: {sizes}; {self.metric})"


@dataclass(frozen=True)
class Encoded:
    """An example as token ids; `labels` equals `ids` on the answer and its end-of-text token, -100 on the prompt.

    For a classifier `labels` is the number of the class alone.
    """

    ids: list[int]
    labels: list[int]


def encode_all(examples: Sequence[Example], tokenizer, max_length: int | None = None) -> list[Encoded]:
    """Prompt + answer + end-of-text of every example, in one pass of the tokenizer (ten times faster than one by one).

    Raises LoRAError where one is longer than `max_length` tokens: cutting a prompt would silently change the question,
    and cutting an answer would teach the model to stop in the middle.
    """
    prompts = encode_prompts([example.prompt for example in examples], tokenizer)
    answers = tokenizer([example.answer for example in examples], add_special_tokens=False)["input_ids"]
    encoded = []
    for number, (example, prompt, answer) in enumerate(zip(examples, prompts, answers, strict=True)):
        if not prompt or not answer:
            part = "answer" if prompt else "prompt"
            raise LoRAError(f"example {number} has an empty {part}: {example.prompt[:60]!r}")
        answer = [*answer, tokenizer.eos_token_id]
        check_length(number, example, len(prompt) + len(answer), max_length)
        encoded.append(Encoded([*prompt, *answer], [IGNORED] * len(prompt) + answer))
    return encoded


def check_length(number: int, example: Example, tokens: int, max_length: int | None) -> None:
    """Raise LoRAError where an example is too long."""
    if max_length is not None and tokens > max_length:
        raise LoRAError(
            f"example {number} is {tokens} tokens long, more than {max_length}: {example.prompt[:60]!r}... "
            "Leave it out, or take a base with a longer context."
        )


def encode_prompts(prompts: Sequence[str], tokenizer) -> list[list[int]]:
    """Token ids of prompts, with whatever the tokenizer puts in front (a BOS token) and nothing behind."""
    rows = tokenizer(list(prompts))["input_ids"]
    eos = tokenizer.eos_token_id
    # Some tokenizers end every text with EOS: right for a document, wrong for a prompt that is to be continued.
    return [row[:-1] if len(row) > 1 and row[-1] == eos else row for row in rows]


def collate(rows: Sequence[Encoded], pad_id: int) -> dict[str, torch.Tensor]:
    """A right-padded training batch: input_ids, attention_mask, labels, each (rows, longest)."""
    return {**pad_rows([row.ids for row in rows], pad_id), "labels": padded([row.labels for row in rows], IGNORED)}


def pad_rows(rows: Sequence[list[int]], pad_id: int, side: str = "right") -> dict[str, torch.Tensor]:
    """Token ids of several lengths as a batch padded on a side: input_ids, attention_mask, each (rows, longest)."""
    mask = [[1] * len(row) for row in rows]
    return {"input_ids": padded(rows, pad_id, side), "attention_mask": padded(mask, 0, side)}


def padded(rows: Sequence[list[int]], filler: int, side: str = "right") -> torch.Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], True, filler, side)  # (rows, longest)


def batch_indices(count: int, batch_size: int, seed: int, step: int) -> list[int]:
    """Which of `count` examples a training step (from 1) sees: every epoch a new seeded shuffle, none left over.

    It depends on these four numbers alone, so a run can go on at any step without replaying.
    """
    begin, chosen = (step - 1) * batch_size, []
    while len(chosen) < batch_size:
        epoch, place = divmod(begin + len(chosen), count)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(count, generator=generator).tolist()
        chosen += order[place : place + batch_size - len(chosen)]
    return chosen
