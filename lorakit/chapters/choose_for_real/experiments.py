"""The recorded sweep of chapter 11: triage of support tickets."""

from dataclasses import replace

from lorakit.chapters.experiment import Experiment, at_best_lr, full, lora, over_seeds, steps
from lorakit.lab.sweep import Run


def grid() -> list[Run]:
    """Which learning rate, at 200 steps; alpha = 2 r."""
    more = {"task": "ticket_triage", "batch_size": 16, "steps": steps(200)}
    return [
        *(lora(4, lr, ("mlp",), alpha=8, **more) for lr in (3e-3, 1e-2, 2e-2)),
        *(full(lr, **more) for lr in (3e-4, 1e-3, 2e-3)),
    ]


def final(rows: list[dict]) -> list[Run]:
    """LoRA at four lengths of training, full fine-tuning at one, each at its own rate."""
    best = {run.method: run for run in at_best_lr(rows, ["method"])}
    lengths = [replace(best["lora"], steps=steps(n)) for n in (100, 200, 400, 800)]
    return over_seeds([*lengths, replace(best["full"], steps=steps(400))])


EXPERIMENTS = [Experiment("tickets", "triage of support tickets, LoRA r = 4 on the MLP", grid, final)]
