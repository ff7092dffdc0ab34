"""Ticket triage as a task: a ticket in; product, team and priority out."""

from lorakit.lab.places import DATA
from lorakit.lab.tasks.sources import bundled
from lorakit.lab.tasks.task import Example, Task

FIELDS = ("product", "team", "priority")
FILE = DATA / "tasks" / "tickets.jsonl"
HELD_OUT = ("combinations", "sentences")  # what training never had: only this ticket as a whole, or its very sentences


def ticket_triage() -> Task:
    """The bundled task: 1,600 / 200 / 400 tickets; metrics "all" (the headline: the three fields right), and each.

    Half of the validation and test tickets are made of sentences that training never had: info["held_out"] is
    "sentences" for them, else "combinations". Raises LoRAError where the file is missing.
    """
    splits: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for ticket in bundled(FILE, "data.make.tickets.write"):
        prompt = f"ticket: {ticket['subject']}\n{ticket['text']}\ntriage:"
        answer = " " + ", ".join(ticket[field] for field in FIELDS)
        splits[ticket["split"]].append(Example(prompt, answer, ticket))
    return Task(name="ticket_triage", metric="all", scorer=score, max_new_tokens=16, **splits)


def parse(answer: str) -> dict[str, str]:
    """The fields of an answer "Vault, access, urgent", in lower case; {} unless it has exactly three."""
    given = [part.strip().lower() for part in answer.strip().split(",")]
    return dict(zip(FIELDS, given, strict=True)) if len(given) == len(FIELDS) else {}


def score(answers: list[str], examples: list[Example]) -> dict[str, float]:
    """Shares (0..1) of answers with all three fields right, and with each one right.

    "combinations" and "sentences" are the first of these among the tickets whose info["held_out"] says so.
    """
    import pandas as pd  # here: training and `make gpu` need no pandas

    right = pd.DataFrame([correct(answer, e) for answer, e in zip(answers, examples, strict=True)])
    right["all"] = right[list(FIELDS)].all(axis=1)
    by_kind = right["all"].groupby([example.info["held_out"] for example in examples]).mean()
    return right[["all", *FIELDS]].mean().to_dict() | by_kind.to_dict()


def correct(answer: str, example: Example) -> dict[str, bool]:
    """Field → whether the answer has it right."""
    given = parse(answer)
    return {field: given.get(field) == example.info[field].lower() for field in FIELDS}
