"""A student's scores: what every check and quiz of the course found, kept in one JSON file of the workbook.

Checks and quizzes keep them by themselves. An attempt counts when it was judged right or wrong; of a quiz the first
choice counts, also after a restart. `student("Ada Lovelace")` once, in any notebook, puts a name on the file.
"""

import contextlib
import hashlib
import os
import re
import time
import unicodedata

from lorakit import __version__
from lorakit.lab import workbook

NAME = "student.json"
FORMAT = "lorakit-scores-1"


def student(name: str = "") -> str:
    """Say who is at work in this workbook; without a name, who it is. Returns the name, "" for nobody.

    LORAKIT_STUDENT comes before it. Each name has a file of its own; what was done before there was any name goes
    into the first's. Raises ValueError for a name without any letter or digit.
    """
    if name:
        name = " ".join(str(name).split())
        if not any(letter.isalnum() for letter in name):
            raise ValueError(f"a name needs a letter or a digit, got {name!r}")
        nameless, own = (workbook.workbook() / file_name(whose) for whose in ("", name))
        workbook.update(NAME, lambda content: content.update(student=name))
        if nameless.is_file() and not own.exists():
            with contextlib.suppress(OSError):  # `update` has warned
                nameless.replace(own)
        _change("exercises", lambda exercises, now: None)  # a file with the name in it, to hand in
    return os.environ.get("LORAKIT_STUDENT") or workbook.read(NAME).get("student") or ""


def file_name(name: str) -> str:
    """The scores' file for a student: plain letters, and a hash that tells apart what they cannot."""
    if not name:
        return "scores.json"
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:40]
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"scores-{plain + '-' if plain else ''}{digest}.json"


def kept(part: str) -> dict:
    """A part, "exercises" or "quizzes", of the student's file: {} where there is none, or it is no JSON object."""
    found = workbook.read(file_name(student())).get(part)
    return found if isinstance(found, dict) else {}


def keep_check(id: str, state: str) -> None:
    """Count an attempt at an exercise; `state` is "passed", "wrong" or "not done", which counts as nothing."""

    def count(exercises: dict, now: str) -> None:
        entry = exercises.setdefault(id, {"attempts": 0})
        entry["attempts"] += 1
        if state == "passed":
            entry.setdefault("passed", now)  # once passed it stays so: playing on costs nothing
            entry.setdefault("attempts_until_passed", entry["attempts"])

    if state != "not done":
        _change("exercises", count)


def keep_choice(chapter: str, question: str, choice: str, right: bool) -> None:
    """Keep the first choice made for a question; later ones change nothing."""

    def keep(quizzes: dict, now: str) -> None:
        quizzes.setdefault(chapter, {}).setdefault(question, {"choice": choice, "right": right, "at": now})

    _change("quizzes", keep)


def _change(part: str, change) -> None:
    """Let `change(content[part], now)` edit a part of the student's file."""
    name, now = student(), time.strftime("%Y-%m-%dT%H:%M:%S%z")

    def edit(content: dict) -> None:
        content.update(format=FORMAT, student=name, lorakit=__version__, updated=now)
        change(content.setdefault(part, {}), now)

    workbook.update(file_name(name), edit)
