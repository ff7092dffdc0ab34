"""The recorded sweep of chapter 12: LoRA and six variants on the MLP, each at its own learning rate."""

from lorakit.chapters.experiment import Experiment, lora, steps, tuned
from lorakit.lab.sweep import Run


def variants() -> list[Run]:
    """About 40,960 trained numbers each, but for VeRA, which has no more to train at any price worth paying.

    The last is a yardstick: LoRA with twice the rank.
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


EXPERIMENTS = [
    Experiment("variants", "LoRA's variants on the MLP, Python source, at equal numbers of parameters",
               lambda rows: tuned(variants(), rows, report=3)),
]  # fmt: skip
