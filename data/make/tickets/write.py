"""Write tickets from the lists in `words`: `python -m data.make.tickets.write` writes data/tasks/tickets.jsonl."""

import json
import random

from data.make.nano.words import FIRST, MONTHS, WEEKDAYS
from data.make.tickets.words import IMPACTS, PROBLEMS, PRODUCTS, SUBJECTS, TONES
from lorakit.lab.tasks.tickets import FILE, HELD_OUT

SIZES = {"train": 1600, "validation": 200, "test": 400}


def parts(items: str | tuple[str, ...]) -> tuple[list[str], list[str]]:
    """A list from `words` in two: for training, and for held-out tickets alone."""
    if isinstance(items, str):
        seen, _, unseen = items.partition("|")
        return [i.strip() for i in seen.split(";") if i.strip()], [i.strip() for i in unseen.split(";") if i.strip()]
    bar = items.index("|")
    return list(items[:bar]), list(items[bar + 1 :])


def make_ticket(rng: random.Random, held_out: str) -> dict:
    """One ticket with what is true of it. `held_out` "sentences" takes those that training never had."""
    new = held_out == "sentences"
    product, team = rng.choice(list(PRODUCTS)), rng.choice(list(PROBLEMS))
    priority, tone = rng.choice(list(IMPACTS)), rng.choice(list(TONES))
    name, few = rng.choice(FIRST), rng.randint(2, 9)
    slots = {
        "thing": rng.choice(parts(PRODUCTS[product])[new]),
        "name": name, "few": few, "n": rng.randint(11, 95), "sum": rng.randint(20, 900),
        "code": rng.randint(100, 599), "month": rng.choice(MONTHS), "day": rng.choice(WEEKDAYS),
    }  # fmt: skip
    problem = rng.choice(parts(PROBLEMS[team])[new])
    impact = rng.choice(parts(IMPACTS[priority])[new])
    opening, closing = (rng.choice(choices) for choices in TONES[tone])
    subject = rng.choice(SUBJECTS[team if rng.random() < 0.6 else None].split("; "))
    # A known thing tells its product; in every other ticket the customer must name it.
    if new or "{thing}" not in problem or rng.random() < 0.7:
        subject = f"{product}: {subject}"
    middle = [problem, impact] if rng.random() < 0.75 else [impact, problem]
    text = " ".join(part for part in (opening, *middle, closing) if part)
    return {
        "subject": subject.format(**slots), "text": text.format(**slots),
        "product": product, "team": team, "priority": priority, "tone": tone, "held_out": held_out,
    }  # fmt: skip


def make_tickets() -> list[dict]:
    """All tickets, each with its split, always the same. No text stands in two splits."""
    found: dict[str, dict] = {}
    for split, size in SIZES.items():
        rng = random.Random(f"tickets/{split}/0")
        count = 0
        while count < size:
            ticket = make_ticket(rng, "combinations" if split == "train" else HELD_OUT[count % 2])
            if ticket["text"] not in found:
                found[ticket["text"]] = {"id": f"T{len(found) + 1:05}", "split": split} | ticket
                count += 1
    return list(found.values())


def lines(tickets: list[dict]) -> str:
    return "".join(json.dumps(ticket) + "\n" for ticket in tickets)


if __name__ == "__main__":
    FILE.write_text(lines(make_tickets()), encoding="utf-8")
