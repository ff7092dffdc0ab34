"""LoRA as students write it, on the GPU: chapter 04's injection and chapter 05's training, on nano and text-to-SQL."""

import tempfile
import time
from collections.abc import Iterator

import torch
from torch import nn

import lorakit as lk
from benchmarks.gpu.cells import Budget
from benchmarks.gpu.sizes import Sizes
from lorakit import by_hand
from lorakit.lab.tasks import TASKS
from tests.support.device import OnDevice

WHAT = (
    "nano on text-to-SQL, r = 8 on c_attn, injected by lorakit/by_hand.py and by lorakit, both trained by "
    "by_hand.train, in float32: seconds, first and last loss, right answers; whether the base kept its bits; how far "
    "the logits are from lorakit's, which reads the file that by_hand wrote"
)
COLUMNS = ("injected by", "steps", "batch", "seconds", "first_loss", "last_loss", "right", "asked", "base_same",
           "apart")  # fmt: skip


def rows(device: str, sizes: Sizes, budget: Budget) -> Iterator[dict]:
    """A row for each."""
    task, (steps, batch, asked) = TASKS["text_to_sql"](), sizes.by_hand
    pairs, questions = [(each.prompt, each.answer) for each in task.train], task.test[:asked]
    ids = lk.load_base("nano", device="cpu")[1](questions[0].prompt, return_tensors="pt")["input_ids"].to(device)
    for who in ("by_hand", "lorakit"):
        if budget.left < 1:
            yield {"injected by": who, "not_done": f"no time left of the part's {budget.seconds:.0f} s"}
            return
        model, tokenizer = lk.load_base("nano", device=device)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with OnDevice(device):
            if who == "by_hand":
                by_hand.inject(model, ("c_attn",), r=8, alpha=16)
            else:
                lk.inject(model, lk.LoRAConfig(r=8, alpha=16, targets=("c_attn",)))
            began = time.perf_counter()
            losses = by_hand.train(model, tokenizer, pairs, steps=steps, batch=batch)  # each loss waits for the GPU
            seconds = time.perf_counter() - began
            answers = [by_hand.answer(model, tokenizer, each.prompt) for each in questions]
        after = {name.replace(".base.", "."): tensor for name, tensor in model.state_dict().items()}
        row = {"injected by": who, "steps": steps, "batch": batch, "seconds": seconds}
        row |= {"first_loss": losses[0], "last_loss": losses[-1], **task.score(answers, questions), "asked": asked}
        row["right"] = row.pop("execution")
        row["base_same"] = all(torch.equal(after[name], tensor) for name, tensor in before.items())
        yield row | ({"apart": apart(model, ids)} if who == "by_hand" else {})


@torch.no_grad()
def apart(model: nn.Module, ids: torch.Tensor) -> float:
    """The largest difference of logits between a model by hand and lorakit with the file that it saves."""
    with tempfile.TemporaryDirectory() as folder:
        by_hand.save(model, folder)
        theirs = lk.load_adapter(lk.load_base("nano", device=ids.device)[0], folder)
    return (model(ids).logits - theirs(ids).logits).abs().max().item()
