"""Write tickets from the lists in words.toml: `python -m data.make.tickets.write` writes data/tasks/tickets.jsonl."""

import json
import random
import tomllib
from pathlib import Path

from data.make.nano.words import LISTS
from lorakit.lab.tasks.tickets import FILE, HELD_OUT

WORDS = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
SIZES = {"train": 1600, "validation": 200, "test": 400}


def make_ticket(rng: random.Random, held_out: str) -> dict:
    """One ticket with what is true of it. `held_out` "sentences" takes those that training never had."""
    part = "held_out" if held_out == "sentences" else "seen"
    product, team = rng.choice(list(WORDS["products"])), rng.choice(list(WORDS["problems"]))
    priority, tone = rng.choice(list(WORDS["impacts"])), rng.choice(list(WORDS["tones"]))
    name, few = rng.choice(LISTS["first"]), rng.randint(2, 9)
    slots = {
        "thing": rng.choice(WORDS["products"][product][part]),
        "name": name, "few": few, "n": rng.randint(11, 95), "sum": rng.randint(20, 900),
        "code": rng.randint(100, 599), "month": rng.choice(LISTS["month"]), "day": rng.choice(LISTS["day"]),
    }  # fmt: skip
    problem = rng.choice(WORDS["problems"][team][part])
    impact = rng.choice(WORDS["impacts"][priority][part])
    opening, closing = (rng.choice(WORDS["tones"][tone][place]) for place in ("opens", "closes"))
    subject = rng.choice(WORDS["subjects"][team if rng.random() < 0.6 else "any"])
    # A known thing tells its product; in every other ticket the customer must name it.
    if part == "held_out" or "{thing}" not in problem or rng.random() < 0.7:
        subject = f"{product}: {subject}"
    middle = [problem, impact] if rng.random() < 0.75 else [impact, problem]
    text = " ".join(filter(None, (opening, *middle, closing)))
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
