"""Ticket triage as a task: a ticket in; product, team and priority out."""

import json
from pathlib import Path

from lorakit.core.errors import LoRAError
from lorakit.lab.places import DATA
from lorakit.lab.tasks.task import Example, Task

FIELDS = ("product", "team", "priority")
KNOWN = {
    "product": ("Ledger", "Roster", "Vault", "Pulse"),
    "team": ("billing", "access", "faults", "data", "advice"),
    "priority": ("urgent", "high", "normal", "low"),
}
FILE = DATA / "tasks" / "tickets.jsonl"
HELD_OUT = ("combinations", "sentences")  # what training never had: only this ticket as a whole, or its very sentences


def ticket_triage(file: str | Path | None = None) -> Task:
    """The bundled task: 1,600 / 200 / 400 tickets; metrics "all" (the headline: the three fields right), and each.

    Half of the validation and test tickets are made of sentences that training never had: info["held_out"] is
    "sentences" for them, else "combinations". Raises LoRAError where the file is missing or is not one of tickets.
    """
    splits: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for ticket in read(file):
        splits[ticket["split"]].append(as_example(ticket))
    if not all(splits.values()):
        empty = next(split for split, examples in splits.items() if not examples)
        raise LoRAError(f"{file or FILE} has no tickets for {empty}: each needs a split among {', '.join(splits)}")
    return Task(name="ticket_triage", metric="all", scorer=score, max_new_tokens=16, **splits)


def read(file: str | Path | None = None) -> list[dict]:
    """The tickets of a JSON-lines file, the bundled one by default. Raises LoRAError naming the line that is wrong."""
    path = Path(file) if file else FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise LoRAError(f"{path} cannot be read ({error}): `python -m data.make.tickets.write` makes them") from error
    tickets = []
    for number, line in enumerate(lines, 1):
        try:
            ticket = json.loads(line)
            missing = {"split", "subject", "text", "held_out", *FIELDS} - set(ticket)
            if missing:
                raise ValueError(f"without {', '.join(sorted(missing))}")
            if ticket["split"] not in ("train", "validation", "test"):
                raise ValueError(f"split {ticket['split']!r}")
        except (ValueError, TypeError) as error:
            raise LoRAError(f"line {number} of {path} is not a ticket: {error}") from error
        tickets.append(ticket)
    return tickets


def as_example(ticket: dict) -> Example:
    prompt = f"ticket: {ticket['subject']}\n{ticket['text']}\ntriage:"
    return Example(prompt, " " + ", ".join(ticket[field] for field in FIELDS), ticket)


def parse(answer: str) -> dict[str, str]:
    """The fields of an answer "Vault, access, urgent", in lower case; {} unless it has exactly three."""
    given = [part.strip().lower() for part in answer.strip().split(",")]
    return dict(zip(FIELDS, given, strict=True)) if len(given) == len(FIELDS) else {}


def score(answers: list[str], examples: list[Example]) -> dict[str, float]:
    """Shares (0..1) of answers with all three fields right, and with each one right.

    "combinations" and "sentences" are the first of these among the tickets whose info["held_out"] says so.
    """
    right = [correct(answer, example) for answer, example in zip(answers, examples, strict=True)]
    count = max(len(right), 1)
    found = {"all": sum(all(fields.values()) for fields in right) / count}
    found |= {field: sum(fields[field] for fields in right) / count for field in FIELDS}
    for kind in HELD_OUT:
        of_kind = [
            all(fields.values()) for fields, e in zip(right, examples, strict=True) if e.info["held_out"] == kind
        ]
        if of_kind:
            found[kind] = sum(of_kind) / len(of_kind)
    return found


def correct(answer: str, example: Example) -> dict[str, bool]:
    """Field → whether the answer has it right."""
    given = parse(answer)
    return {field: given.get(field) == example.info[field].lower() for field in FIELDS}
