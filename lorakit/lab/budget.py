"""How much a chapter may spend: LORAKIT_BUDGET picks the size of every run in it."""

import os

from lorakit.core.errors import LoRAError

BUDGETS = ("fast", "class", "full")


def budget() -> str:
    """The size in force: "fast" (tests), "class" (the default: a laptop, under two minutes) or "full" (a GPU)."""
    name = os.environ.get("LORAKIT_BUDGET") or "class"
    if name not in BUDGETS:
        raise LoRAError(f"LORAKIT_BUDGET must be one of {', '.join(BUDGETS)}, got {name!r}")
    return name


def by_budget(fast, classroom, full):
    """Whichever of the three values the budget asks for: `steps = by_budget(60, 150, 500)`."""
    return (fast, classroom, full)[BUDGETS.index(budget())]
