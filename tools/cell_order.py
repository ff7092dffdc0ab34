"""Run the chapters as students do: cells twice, all again, back up, and after Ctrl-C. Prints what goes wrong.

    python tools/cell_order.py [NAME …]         a NAME is a path or the start of a file name; none: all

    twice      every cell twice in a row
    again      then all of them once more in the same kernel
    back       then, bottom up, each quick cell by itself: first those that change no model, then those that do
    interrupt  in a fresh kernel: every cell that trains is stopped by Ctrl-C halfway, run again, and so to the end

A cell that is compared by nbval must give its saved outputs each time, compared as nbval compares them. A cell that
trains must give the same losses each time. Going back up, a cell may also stop and say which cells to run first.
The notebooks are run from a copy, on the fast budget, without a network, with a workbook of their own.
"""

import asyncio
import configparser
import contextlib
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from notebooks import ROOT, chosen, client, environment, merged_streams

# What nbval leaves out as well: pictures and widget ids differ without meaning anything.
SKIPPED = {"image/png", "image/jpeg", "application/vnd.jupyter.widget-view+json"}
TRAINS = re.compile(r"\b(fit|run_one|optimizer\.step|(?<!def )train)\(")
CHANGES = re.compile(
    r"\b(load_base|\w+_at_hand|inject|eject|\w+_adapter|set_scale|merge|unmerge|attach|fold|fit|train_\w+|copy_|look|add_up|step)\("
)
LOSS = re.compile(r"\b(?:loss|bits per byte)\b")
SAYS_WHICH = re.compile(r"[Rr]un the cells? under")
QUICK = 2.0  # seconds: a slower cell is not run again on the way back up
LONG = 0.3  # seconds: a quicker cell is not interrupted


class Finding(NamedTuple):
    """One thing that should not be: in which cell (its number among all cells), in which turn, and what."""

    cell: int
    turn: str
    what: str


def sanitizers() -> list[tuple[re.Pattern, str]]:
    """nbval's own file of what may differ."""
    parser = configparser.RawConfigParser()
    with (ROOT / "tests" / "support" / "nbval_sanitize.cfg").open(encoding="utf-8") as file:
        parser.read_file(file)
    return [(re.compile(parser[part]["regex"]), parser[part]["replace"]) for part in parser.sections()]


SANITIZERS = sanitizers()


def lines_of(outputs: list) -> list[str]:
    """What nbval compares of a cell's outputs, as lines, kind by kind: without what may differ."""
    found = []
    for output in merged_streams(outputs):
        kinds = {output.name: output.text} if output.output_type == "stream" else output.get("data", {})
        for kind in kinds.keys() - SKIPPED:
            text = str(kinds[kind])
            for regex, replacement in SANITIZERS:
                text = regex.sub(replacement, text)
            found += [(kind, line) for line in text.splitlines()]
    return [f"{kind}: {line}" for kind, line in sorted(found, key=lambda pair: pair[0])]


class Chapter:
    """One notebook in one kernel, whose cells can be run in any order and each as often as wanted."""

    def __init__(self, notebook: NotebookNode, folder: Path):
        self.notebook, self.client = notebook, client(notebook, folder)
        self.numbers = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        # What a cell must show: what was saved; where that is not compared, the losses of its first run.
        self.expected = {i: self.shown(i) for i in self.numbers if self.compared(i)}
        self.seconds: dict[int, float] = {}  # the quickest run of each cell: the first one imports
        self.counts: Counter[str] = Counter()  # turn -> times a cell was run in it; "told": said what to run first
        self.findings: list[Finding] = []

    def compared(self, number: int) -> bool:
        return "nbval-ignore-output" not in self.notebook.cells[number].metadata.get("tags", [])

    def trains(self, number: int) -> bool:
        return not self.compared(number) and bool(TRAINS.search(self.notebook.cells[number].source))

    def changes(self, number: int) -> bool:
        return bool(CHANGES.search(self.notebook.cells[number].source))

    def shown(self, number: int) -> list[str]:
        """What is compared of a cell's outputs."""
        lines = lines_of(self.notebook.cells[number].outputs)
        if self.compared(number):
            return lines
        return [line for line in lines if LOSS.search(line)] if self.trains(number) else []

    async def execute(self, number: int, at_most: float | None = None) -> CellExecutionError | None:
        """Run a cell, with Ctrl-C where it still runs after so many seconds. Returns what it raised."""
        cell = self.notebook.cells[number]
        cell.outputs = []
        self.client._display_id_map.clear()  # an earlier run's displays are no longer there to be updated
        running = asyncio.ensure_future(self.client.async_execute_cell(cell, number))
        done, _ = await asyncio.wait([running], timeout=at_most)
        if not done:
            await self.client.km.interrupt_kernel()
            self.counts["interrupts"] += 1
        try:
            await running
        except CellExecutionError as error:
            return error
        return None

    async def check(self, number: int, turn: str) -> None:
        """Run a cell and note what differs from what it must show."""
        started = time.perf_counter()
        error = await self.execute(number)
        took = time.perf_counter() - started
        self.seconds[number] = min(took, self.seconds.get(number, took))
        self.counts[turn] += 1
        got = self.shown(number)
        expected = self.expected.setdefault(number, got)
        if error is not None and turn == "back" and SAYS_WHICH.search(str(error)):
            self.counts["told"] += 1
        elif error is not None:
            self.note(number, turn, f"{error.ename}: {error.evalue[:300]}")
        elif got != expected:
            old, new = next(pair for pair in zip_longest(expected, got, fillvalue="") if pair[0] != pair[1])
            self.note(number, turn, f"{old[:100]!r} became {new[:100]!r}")

    def note(self, number: int, turn: str, what: str) -> None:
        self.findings.append(Finding(number, turn, what))
        print(f"  ✗ cell {number}, {turn}: {what}", flush=True)

    async def twice_again_and_back(self) -> None:
        for number in self.numbers:
            for _ in range(2):
                await self.check(number, "twice")
        for number in self.numbers:
            await self.check(number, "again")
        quick = [number for number in reversed(self.numbers) if self.seconds[number] < QUICK]
        for number in sorted(quick, key=self.changes):  # the sort keeps the order within each kind
            await self.check(number, "back")

    async def interrupted(self, seconds: dict[int, float]) -> None:
        for number in self.numbers:
            if self.trains(number) and seconds.get(number, 0) > LONG:
                error = await self.execute(number, at_most=seconds[number] / 2)
                if error is not None and error.ename != "KeyboardInterrupt":
                    self.note(number, "stopped by Ctrl-C", f"{error.ename}: {error.evalue[:300]}")
            await self.check(number, "interrupt")


@contextlib.contextmanager
def own_place() -> Iterator[Path]:
    """A copy of notebooks/ beside links to what the chapters name by a relative path; a workbook of its own."""
    with tempfile.TemporaryDirectory(prefix="cell_order_", ignore_cleanup_errors=True) as place:
        shutil.copytree(ROOT / "notebooks", f"{place}/notebooks", ignore=shutil.ignore_patterns(".*"))
        for name in ("data", "docs"):
            Path(place, name).symlink_to(ROOT / name)
        yield Path(place)


async def run(path: Path, ctrl_c: bool = True) -> tuple[Counter[str], list[Finding]]:
    """Put one notebook through all of this, Ctrl-C where it is wanted: how often what was done, and the findings."""
    with own_place() as place:
        settings = {"LORAKIT_WORKBOOK": f"{place}/workbook", "LORAKIT_BUDGET": "fast", "HF_HUB_OFFLINE": "1"}
        chapters = [Chapter(nbformat.read(path, as_version=4), place / "notebooks") for _ in range(1 + ctrl_c)]
        for chapter in chapters:
            try:
                async with chapter.client.async_setup_kernel(env=environment(**settings)):
                    if chapter is chapters[0]:
                        await chapter.twice_again_and_back()
                    else:
                        chapter.expected = chapters[0].expected
                        await chapter.interrupted(chapters[0].seconds)
            except (DeadKernelError, AssertionError) as error:  # nbclient's own clean-up asserts that one lives
                chapter.note(-1, "", f"the kernel died: {error}")
    counts = sum((chapter.counts for chapter in chapters), Counter(cells=len(chapters[0].numbers)))
    return counts, [finding for chapter in chapters for finding in chapter.findings]


def main() -> int:
    broken = 0
    for path in chosen(sys.argv[1:]):
        print(path.name, flush=True)
        counts, findings = asyncio.run(run(path))
        print(f"  {dict(counts)}", flush=True)
        broken += len(findings)
    return int(broken > 0)


if __name__ == "__main__":
    raise SystemExit(main())
