"""The recorded sweep of chapter 11: triage of support tickets."""

from dataclasses import replace

from lorakit.chapters.experiment import ALL, Experiment, full, lora, search, seeds, steps, tuned
from lorakit.lab.sweep import Run

LENGTHS = (100, 200, 800)
MORE = {"task": "ticket_triage", "batch_size": 16}


def tickets(rows: list[dict]) -> list[Run]:
    """LoRA on the MLP and on all projections, BitFit, full fine-tuning; and the first at other lengths of training."""
    more = MORE | {"steps": steps(400)}
    mlp = lora(4, 1e-2, ("mlp",), **more)
    wanted = tuned(
        [mlp, lora(8, 1e-2, ALL, **more), Run(method="bitfit", lr=1e-2, **more), full(3e-4, **more)], rows, 3
    )
    _, lr = search(mlp, rows)
    if lr is None:
        return wanted
    return wanted + [replace(mlp, lr=lr, steps=steps(n), seed=seed) for n in LENGTHS for seed in seeds()]


EXPERIMENTS = [Experiment("tickets", "triage of support tickets, LoRA r = 4 on the MLP and its rivals", tickets)]
