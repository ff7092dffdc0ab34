"""A part's cells, one after the other, within its seconds: what was not measured is in the result with the reason."""

import contextlib
import gc
import math
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator

import torch

from lorakit.study.latency import Comparison


class Budget:
    """A part's seconds, running from now on."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock, self.began = seconds, clock, clock()

    @property
    def spent(self) -> float:
        return self.clock() - self.began

    @property
    def left(self) -> float:
        """Seconds; below zero where the last cell took longer than was left."""
        return self.seconds - self.spent


def measured(
    cells: Iterable[dict],
    budget: Budget,
    measure: Callable[[dict, float], list[dict]],
    least: Callable[[dict], float] = lambda cell: 1.0,
    longest: float = math.inf,
) -> Iterator[dict]:
    """The rows of every cell, each with the cell's own fields in front.

    measure  (cell, seconds) → rows. The seconds are the cell's fair share of what is left, `longest` at most
    least    seconds below which a cell is not begun

    A cell for which no time is left, which does not fit into memory, or which fails gives one row with the reason as
    "not_done", and the next cell is measured all the same.
    """
    cells = list(cells)
    for number, cell in enumerate(cells):
        left = budget.left
        if left < least(cell):
            yield {**cell, "not_done": f"no time left of the part's {budget.seconds:.0f} s"}
            continue
        try:
            rows = measure(cell, min(left / (len(cells) - number), longest))
        except Exception as error:  # one cell that fails must not cost the others
            if not is_out_of_memory(error):
                traceback.print_exc(file=sys.stderr)
            rows = [{"not_done": failure(error)}]
        with contextlib.suppress(RuntimeError):  # of a GPU that the cell broke
            let_go()  # not above, where the exception still holds the cell's tensors
        yield from ({**cell, **row} for row in rows)


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device had too little memory: torch says so in one way, its libraries in others."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(w in str(error) for w in ("out of memory", "ALLOC_FAILED"))


def failure(error: Exception) -> str:
    """One line on what went wrong."""
    if is_out_of_memory(error):
        return "out of memory"
    return f"failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def let_go() -> None:
    """Give back the memory of what is no longer used; to be called when the exception that kept it alive is gone."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def as_rows(found: Comparison) -> list[dict]:
    """One plain row for each job: milliseconds, and the ratio to the first job with its 95 % interval."""
    return [
        {
            "job": name, "ms": 1e3 * job.median, "quartiles_ms": [1e3 * q for q in job.quartiles], "ratio": job.ratio,
            "interval": list(job.interval), "verdict": "" if name == found.base else found.verdict(name),
            "noise": found.noise, "rounds": len(job.times),
        }
        for name, job in found.jobs.items() if job is not found.again
    ]  # fmt: skip
