"""Answers of an adapted base whose tokens are dropped on the way: what token pruning costs, since it learns nothing."""

from collections.abc import Sequence
from contextlib import contextmanager

from torch import nn

from lorakit.core.merge import merge
from lorakit.files.save_load import load_adapter
from lorakit.lab.bases.load import load_base
from lorakit.lab.evaluate import evaluate
from lorakit.lab.methods import ADAPTERS, TEACHERS
from lorakit.lab.tasks.task import Task
from lorakit.rivals import pruning

# The share of the prompt's tokens that each of nano's four blocks computes.
SCHEDULES = ((1, 1, 1, 1), (1, 1, 1, 0.9), (1, 1, 1, 0.7), (1, 1, 0.9, 0.7), (1, 0.9, 0.8, 0.7), (1, 0.7, 0.5, 0.3))


def adapted(device=None) -> tuple[nn.Module, object]:
    """Nano with the recorded text-to-SQL adapter (r = 8) merged, computing attention so that it can be looked at."""
    model, tokenizer = load_base("nano", device=device)
    load_adapter(model, ADAPTERS / TEACHERS["text_to_sql"], name="sql")
    merge(model)
    model.set_attn_implementation("eager")
    return model, tokenizer


@contextmanager
def pruned(model: nn.Module, keep: Sequence[float]):
    """Within the block, block i of `model` computes the share `keep[i]` of the tokens."""
    pruning.attach(model, tuple(keep))
    try:
        yield model
    finally:
        pruning.detach(model)


def pruned_scores(task: Task, schedules=SCHEDULES, limit: int = 100, device=None) -> list[dict]:
    """For each schedule: "keep", "work" (the mean share of tokens computed) and "execution", over `limit` questions."""
    model, tokenizer = adapted(device)
    rows = []
    for keep in schedules:
        with pruned(model, keep):
            score = evaluate(model, tokenizer, task, "test", limit=limit)["execution"]
        rows.append({"keep": list(keep), "work": sum(keep) / len(keep), "execution": score})
    return rows
