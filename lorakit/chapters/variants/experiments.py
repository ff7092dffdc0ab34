"""The recorded sweep of chapter 12: LoRA and six variants on the MLP, each at its own learning rate."""

from dataclasses import replace

from lorakit.chapters.experiment import CHOOSE, Experiment, lora, search, steps, tuned
from lorakit.lab.budget import by_budget
from lorakit.lab.sweep import Run


def variants() -> list[Run]:
    """About 40,960 trained numbers each, but for VeRA: as many would take r = 4,480, 22 times the base's work.

    LoRA with r = 8 is a yardstick: what does twice the numbers buy?
    """
    more = {"targets": ("mlp",), "task": "python", "batch_size": 8, "steps": steps(60)}
    return [
        lora(4, 1e-2, **more),
        lora(4, 1e-2, use_rslora=True, **more),
        lora(4, 1e-3, method="lora_plus", size=16, **more),
        lora(4, 1e-3, method="pissa", **more),
        lora(4, 1e-2, method="dora", **more),
        lora(8, 3e-2, method="lora_fa", **more),  # B alone: twice the rank for the same numbers
        lora(8, 1e-2, **more),
        lora(1024, 1e-1, method="vera", **more),
    ]


def fair_and_careless(rows: list[dict]) -> list[Run]:
    """Each at its own rate; and, by the seeds that choose, at LoRA's, as a careless comparison has them."""
    fair, rate = tuned(variants(), rows, report=3), search(variants()[0], rows)[1]
    seeds = range(by_budget(1, CHOOSE, CHOOSE)) if rate else ()
    return list(dict.fromkeys([*fair, *(replace(run, lr=rate, seed=seed) for run in variants() for seed in seeds)]))


EXPERIMENTS = [
    Experiment("variants", "LoRA's variants on the MLP, Python source, at equal numbers of parameters",
               fair_and_careless),
]  # fmt: skip
