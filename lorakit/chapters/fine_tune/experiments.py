"""The recorded sweeps of chapter 05: LoRA beside full fine-tuning, on text-to-SQL and on E2E."""

from lorakit.chapters.experiment import Experiment, at_best_lr, full, lora, measured_full, over_seeds, steps
from lorakit.lab.sweep import Run


def curves() -> list[Run]:
    return [*measured_full(), *over_seeds([lora(8, 3e-3, steps=steps(200), eval_every=steps(40))])]


def e2e_grid() -> list[Run]:
    tried = ((5e-4, 3e-3), (1e-3, 1e-2))
    return [run for slow, fast in tried for run in (full(slow, task="e2e"), lora(8, fast, task="e2e"))]


def e2e_final(rows: list[dict]) -> list[Run]:
    return over_seeds(at_best_lr(rows, ["method"], "validation_loss"))


EXPERIMENTS = [
    Experiment("fine_tune", "LoRA and full fine-tuning, curves", curves),
    Experiment("e2e", "LoRA and full fine-tuning on E2E (needs LORAKIT_DATA or a network)", e2e_grid, e2e_final),
]
