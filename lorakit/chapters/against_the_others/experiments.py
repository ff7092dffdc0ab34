"""The recorded sweeps of chapter 07: every rival at its own learning rate, on two tasks."""

from dataclasses import replace

from lorakit.chapters.experiment import Experiment, steps, tuned
from lorakit.lab.kinds import KINDS
from lorakit.lab.sweep import Run

# Where the search for each one's learning rate begins. The student, which has lost half of its blocks, also learns ten
# times as long.
SQL = {
    "bitfit": 1e-2, "last_block": 1e-3, "houlsby": 3e-3, "pfeiffer": 3e-3, "prefix": 1e-1, "prefix_mlp": 3e-3,
    "distill": 3e-3, "distill_long": 1e-3,
}  # fmt: skip
# The domain that the base has never seen: without the student, since there is no teacher of it.
PYTHON = {
    "bitfit": 1e-1, "last_block": 1e-2, "houlsby": 3e-2, "pfeiffer": 3e-2, "prefix": 3e-1, "prefix_mlp": 3e-3,
}  # fmt: skip


def runs(rates: dict[str, float], **more) -> list[Run]:
    """Every kind, at the rate at which its search begins."""
    found = {name: KINDS[name].run for name in rates}
    return [replace(run, lr=rates[name], steps=steps(run.steps), **more) for name, run in found.items()]


EXPERIMENTS = [
    Experiment("rivals_python", "other ways to adapt the base, on the domain that it has never seen",
               lambda rows: tuned(runs(PYTHON, task="python", batch_size=16), rows)),
    Experiment("rivals", "the same on text-to-SQL (LoRA and full: rank_text_to_sql)",
               lambda rows: tuned(runs(SQL), rows)),
]  # fmt: skip
