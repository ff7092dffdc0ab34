"""The recorded sweep of chapter 05: LoRA beside full fine-tuning on E2E."""

from lorakit.chapters.experiment import ALL, Experiment, full, lora, tuned
from lorakit.lab.sweep import Run


def e2e() -> list[Run]:
    more = {"task": "e2e"}
    return [full(1e-3, **more), lora(8, 3e-2, **more), lora(8, 1e-2, ALL, **more), lora(64, 1e-2, ALL, **more)]


EXPERIMENTS = [
    Experiment(
        "e2e",
        "LoRA and full fine-tuning on E2E (needs LORAKIT_DATA or a network)",
        lambda rows: tuned(e2e(), rows, report=3),
    ),
]
