"""A student's scores: what every check and quiz of the course found, kept in one JSON file of the workbook.

Checks and quizzes keep them by themselves. An attempt counts when it was judged right or wrong; of a quiz the first
choice counts, also after a restart. `student("Ada Lovelace")` once, in any notebook, puts a name on the file.
"""

import hashlib
import os
import re
import time
import unicodedata

from lorakit.lab import workbook

NAME = "student.json"
FORMAT = "lorakit-scores-1"


def student(name: str | None = None) -> str:
    """Say who is at work in this workbook; without a name, who it is. Returns the name, "" for nobody.

    LORAKIT_STUDENT comes before it. Each name has a file of its own. Raises ValueError for a name without any letter
    or digit.
    """
    if name is not None:
        name = " ".join(str(name).split())
        if not any(letter.isalnum() for letter in name):
            raise ValueError(f"a name needs a letter or a digit, got {name!r}")
        workbook.update(NAME, lambda content: content.update(student=name))
    given = os.environ.get("LORAKIT_STUDENT") or workbook.read(NAME).get("student") or ""
    return given if isinstance(given, str) else ""


def file_name(name: str) -> str:
    """The scores' file for a student: plain letters, and a hash that tells apart what they cannot."""
    if not name:
        return "scores.json"
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:40]
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"scores-{plain + '-' if plain else ''}{digest}.json"


def keep_check(id: str, state: str) -> None:
    """Count an attempt at an exercise; `state` is "passed", "wrong" or "not done", which counts as nothing."""
    if state not in ("passed", "wrong"):
        return

    def change(exercises: dict, now: str) -> None:
        entry = _dict(exercises, id)
        entry["attempts"] = _count(entry.get("attempts")) + 1
        if state == "passed":
            entry.setdefault("passed", now)  # once passed it stays so: playing on costs nothing
            entry.setdefault("attempts_until_passed", entry["attempts"])

    _change("exercises", change)


def keep_choice(chapter: str, question: str, choice: str, right: bool) -> None:
    """Keep the first choice made for a question; later ones change nothing."""

    def change(quizzes: dict, now: str) -> None:
        _dict(quizzes, chapter).setdefault(question, {"choice": choice, "right": bool(right), "at": now})

    _change("quizzes", change)


def first_choices(chapter: str) -> dict[str, str]:
    """Question → the choice first made, as kept."""
    quizzes = workbook.read(file_name(student())).get("quizzes")
    kept = quizzes.get(chapter) if isinstance(quizzes, dict) else None
    if not isinstance(kept, dict):
        return {}
    return {q: entry["choice"] for q, entry in kept.items() if isinstance(entry, dict) and "choice" in entry}


def _change(part: str, change) -> None:
    from lorakit import __version__

    name, now = student(), time.strftime("%Y-%m-%dT%H:%M:%S%z")

    def edit(content: dict) -> None:
        content.update(format=FORMAT, student=name, lorakit=__version__, updated=now)
        change(_dict(content, part), now)

    workbook.update(file_name(name), edit)


def _dict(content: dict, key: str) -> dict:
    """content[key], made a dict where it is missing or something else."""
    if not isinstance(content.get(key), dict):
        content[key] = {}
    return content[key]


def _count(value) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
