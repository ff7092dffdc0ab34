"""The bench: base models, tasks with their metrics, and the training loop.

Everything here is imported by name at once, because `lab.fit` is both a function and the file it lives in: a
lazy attribute would become the file as soon as anything imported it. Import stays cheap all the same, since each
file imports transformers, accelerate, sacrebleu and datasets only inside the functions that use them.
"""

from lorakit.lab.bases.errors import BaseModelError
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
from lorakit.lab.tasks.python_source import python_source
from lorakit.lab.tasks.sst2 import sst2
from lorakit.lab.tasks.task import Example, Task, collate, encode_all
from lorakit.lab.tasks.text_to_sql import text_to_sql

__all__ = [
    "BaseModelError",
    "CheckpointNotSaved",
    "Classification",
    "Example",
    "History",
    "NonFiniteLoss",
    "Settings",
    "Task",
    "collate",
    "e2e",
    "encode_all",
    "evaluate",
    "fit",
    "generate_answers",
    "load_base",
    "mean_loss",
    "python_source",
    "shard",
    "sst2",
    "text_to_sql",
]
