"""Run the chapters as students do: cells twice, all again, after Ctrl-C, and back up. Prints what goes wrong.

    python tools/cell_order.py [NAME …]         a NAME is a path or the start of a file name; none: all

    twice      every cell twice in a row, then all of them once more in the same kernel
    back       after that: every quick cell that changes no model, as if it alone were run again after all the others;
               then, bottom up, those that do
    interrupt  in a fresh kernel: every cell that trains is stopped by Ctrl-C halfway, run again, and so to the end
    go on      in a fresh kernel: the same, but no stopped cell is run again: what follows works with what is there

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
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from notebooks import ROOT, chosen, client, environment, merged_streams

MODES = ("twice", "back", "interrupt", "go on")
IGNORED = "nbval-ignore-output"
# What nbval leaves out as well: pictures and widget ids differ without meaning anything.
SKIPPED = {"image/png", "image/jpeg", "application/vnd.jupyter.widget-view+json"}
TRAINS = re.compile(r"\b(fit|run_one|optimizer\.step|(?<!def )train)\(")
CHANGES = re.compile(
    r"\b(load_base|\w+_at_hand|inject|eject|\w+_adapter|set_scale|merge|unmerge|attach|fold|fit|train_\w+|copy_|look|add_up|step)\("
)
LOSS = re.compile(r"^.*\b(?:loss|bits per byte)\b.*$", re.MULTILINE)
SAYS_WHICH = re.compile(r"[Rr]un the cells? under")
QUICK = 2.0  # seconds: a slower cell is not run again on the way back up


class Finding(NamedTuple):
    """One thing that should not be: in which cell (its number among all cells), in which turn, and what."""

    cell: int
    turn: str
    what: str


@dataclass
class Report:
    """What happened in one notebook."""

    notebook: str
    cells: int = 0
    runs: Counter[str] = field(default_factory=Counter)  # mode -> times a cell was run
    interrupts: int = 0
    told: int = 0  # times a cell, out of order, said which ones to run first
    seconds: float = 0
    findings: list[Finding] = field(default_factory=list, repr=False)

    def note(self, cell: int, turn: str, what: str) -> None:
        self.findings.append(Finding(cell, turn, what))
        print(f"  ✗ cell {cell}, {turn}: {what}", flush=True)


def sanitizers() -> list[tuple[re.Pattern, str]]:
    """nbval's own file of what may differ."""
    parser = configparser.RawConfigParser()
    with (ROOT / "tests" / "support" / "nbval_sanitize.cfg").open(encoding="utf-8") as file:
        parser.read_file(file)
    return [(re.compile(parser[part]["regex"]), parser[part]["replace"]) for part in parser.sections()]


SANITIZERS = sanitizers()


def plain(outputs: list) -> dict[str, list]:
    """Outputs by kind, without what may differ: the way nbval compares them."""
    found: dict[str, list] = defaultdict(list)
    for output in merged_streams(outputs):
        kinds = {output.name: output.text} if output.output_type == "stream" else output.get("data", {})
        for kind, value in kinds.items():
            if kind in SKIPPED:
                continue
            for regex, replacement in SANITIZERS if isinstance(value, str) else ():
                value = regex.sub(replacement, value)
            found[kind].append(value)
    return dict(found)


def losses(outputs: list) -> list[str]:
    """The lines of a training cell that name a loss."""
    return LOSS.findall("".join(plain(outputs).get("stdout", [])))


def first_difference(saved: dict, got: dict) -> str:
    for kind in saved.keys() | got.keys():
        old, new = ("\n".join(map(str, side.get(kind, ["nothing"]))).splitlines() for side in (saved, got))
        for a, b in zip_longest(old, new, fillvalue=""):
            if a != b:
                return f"{kind}: {a[:100]!r} became {b[:100]!r}"
    return ""


class Chapter:
    """One notebook in one kernel, whose cells can be run in any order and each as often as wanted."""

    def __init__(self, notebook: NotebookNode, folder: Path, report: Report):
        self.notebook, self.report = notebook, report
        self.saved = {i: plain(cell.outputs) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"}
        self.numbers = list(self.saved)
        self.losses: dict[int, list[str]] = {}
        self.seconds: dict[int, float] = {}  # the quickest run of each cell: the first one imports
        self.client = client(notebook, folder)

    def compared(self, number: int) -> bool:
        return IGNORED not in self.notebook.cells[number].metadata.get("tags", [])

    def trains(self, number: int) -> bool:
        return not self.compared(number) and bool(TRAINS.search(self.notebook.cells[number].source))

    def changes(self, number: int) -> bool:
        return bool(CHANGES.search(self.notebook.cells[number].source))

    async def execute(self, number: int, stop: Callable[[float], bool] | None = None) -> CellExecutionError | None:
        """Run a cell; if it still runs when `stop(seconds so far)` holds, press Ctrl-C. Returns what it raised."""
        cell = self.notebook.cells[number]
        cell.outputs = []
        self.client._display_id_map.clear()  # an earlier run's displays are no longer there to be updated
        started = time.perf_counter()
        running = asyncio.ensure_future(self.client.async_execute_cell(cell, number))
        while stop is not None and not running.done():
            await asyncio.wait([running], timeout=0.02)
            if not running.done() and stop(time.perf_counter() - started):
                await self.client.km.interrupt_kernel()
                self.report.interrupts += 1
                stop = None
        try:
            await running
        except CellExecutionError as error:
            return error
        finally:
            self.took = time.perf_counter() - started
        return None

    async def check(self, number: int, turn: str, mode: str, told: bool = False) -> None:
        """Run a cell and note what differs from its saved outputs, or from its first losses; to go on, errors alone."""
        error = await self.execute(number)
        self.report.runs[mode] += 1
        self.seconds[number] = min(self.took, self.seconds.get(number, self.took))
        outputs = self.notebook.cells[number].outputs
        what = ""
        if error is not None:
            if told and SAYS_WHICH.search(str(error)):
                self.report.told += 1
                return
            what = f"{error.ename}: {error.evalue[:300]}"
        elif mode == "go on":
            pass
        elif self.compared(number):
            what = first_difference(self.saved[number], plain(outputs))
        elif self.trains(number):
            first = self.losses.setdefault(number, losses(outputs))
            if losses(outputs) != first:
                what = f"other losses: {first} became {losses(outputs)}"
        if what:
            self.report.note(number, turn, what)


async def twice(chapter: Chapter) -> None:
    for number in chapter.numbers:
        for turn in ("first", "at once again"):
            await chapter.check(number, turn, "twice")
    for number in chapter.numbers:
        await chapter.check(number, "all again", "again")


async def back(chapter: Chapter) -> None:
    quick = [number for number in reversed(chapter.numbers) if chapter.seconds[number] < QUICK]
    for number in sorted(quick, key=chapter.changes):  # the sort keeps the order within each kind
        await chapter.check(number, "back up", "back", told=True)


async def press_ctrl_c(chapter: Chapter, number: int, seconds: float) -> None:
    """Stop the cell halfway; where it was over by then, sooner."""
    pressed = chapter.report.interrupts
    what = "it was always over before Ctrl-C was pressed"
    for share in (0.5, 0.25, 0.12, 0.06):
        error = await chapter.execute(number, stop=lambda so_far, after=share * seconds: so_far > after)
        if error is not None and error.ename != "KeyboardInterrupt":
            what = f"{error.ename}: {error.evalue[:300]}"
            break
        if chapter.report.interrupts > pressed:
            return
    chapter.report.note(number, "stopped by Ctrl-C", what)


async def interrupted(chapter: Chapter, first: Chapter, mode: str) -> None:
    chapter.losses.update(first.losses)
    for number in chapter.numbers:
        stops = chapter.trains(number) and first.seconds.get(number, 0) > 0.3
        if stops:
            await press_ctrl_c(chapter, number, first.seconds[number])
        if mode == "interrupt" or not stops:
            await chapter.check(number, "with Ctrl-C on the way", mode, told=mode == "go on")


@contextlib.contextmanager
def own_place() -> Iterator[Path]:
    """A copy of notebooks/ beside links to what the chapters name by a relative path; a workbook of its own."""
    with tempfile.TemporaryDirectory(prefix="cell_order_", ignore_cleanup_errors=True) as place:
        shutil.copytree(ROOT / "notebooks", f"{place}/notebooks", ignore=shutil.ignore_patterns(".*"))
        for name in ("data", "docs"):
            Path(place, name).symlink_to(ROOT / name)
        yield Path(place)


async def run(path: Path, modes: tuple[str, ...] = MODES) -> Report:
    """Put one notebook through the modes, "twice" always; prints findings as they come."""
    report, started, first = Report(path.name), time.perf_counter(), None
    with own_place() as place:
        settings = {"LORAKIT_WORKBOOK": f"{place}/workbook", "LORAKIT_BUDGET": "fast", "HF_HUB_OFFLINE": "1"}
        for mode in ("twice", *(mode for mode in ("interrupt", "go on") if mode in modes)):
            chapter = Chapter(nbformat.read(path, as_version=4), place / "notebooks", report)
            report.cells = len(chapter.numbers)
            try:
                async with chapter.client.async_setup_kernel(env=environment(**settings)):
                    if mode != "twice":
                        await interrupted(chapter, first, mode)
                    else:
                        await twice(chapter)
                        if "back" in modes:
                            await back(chapter)
            except (DeadKernelError, AssertionError) as error:  # nbclient's own clean-up asserts that one lives
                report.note(-1, "", f"the kernel died: {error}")
            first = first or chapter
    report.seconds = round(time.perf_counter() - started, 1)
    return report


def main() -> int:
    reports = []
    for path in chosen(sys.argv[1:]):
        print(path.name, flush=True)
        reports.append(asyncio.run(run(path)))
        print(f"  {reports[-1]}", flush=True)
    return int(any(report.findings for report in reports))


if __name__ == "__main__":
    raise SystemExit(main())
