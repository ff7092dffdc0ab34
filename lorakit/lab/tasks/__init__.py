"""The tasks by name: each a function that reads its data, or makes it, and returns a Task."""

from functools import partial

from lorakit.lab.tasks.e2e import e2e
from lorakit.lab.tasks.python_source import python_source
from lorakit.lab.tasks.sst2 import sst2
from lorakit.lab.tasks.styles import STYLES, style_task
from lorakit.lab.tasks.text_to_sql import text_to_sql
from lorakit.lab.tasks.tickets import ticket_triage

TASKS = {
    "text_to_sql": text_to_sql, "e2e": e2e, "python": python_source, "ticket_triage": ticket_triage, "sst2": sst2,
    **{style: partial(style_task, style) for style in STYLES},  # law, medicine, code
}  # fmt: skip
