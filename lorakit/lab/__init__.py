"""The bench: base models, tasks with their metrics, and the training loop."""

from lorakit.lab.bases.load import load_base
from lorakit.lab.checkpoint import CheckpointNotSaved
from lorakit.lab.evaluate import evaluate, generate_answers, mean_loss
from lorakit.lab.history import History
from lorakit.lab.loop import fit
from lorakit.lab.many.shard import shard
from lorakit.lab.settings import Settings
from lorakit.lab.step import NonFiniteLoss
from lorakit.lab.tasks.classification import Classification
from lorakit.lab.tasks.e2e import e2e
from lorakit.lab.tasks.sst2 import sst2
from lorakit.lab.tasks.task import Example, Task
from lorakit.lab.tasks.text_to_sql import text_to_sql

__all__ = [
    "CheckpointNotSaved",
    "Classification",
    "Example",
    "History",
    "NonFiniteLoss",
    "Settings",
    "Task",
    "e2e",
    "evaluate",
    "fit",
    "generate_answers",
    "load_base",
    "mean_loss",
    "shard",
    "sst2",
    "text_to_sql",
]
