"""The rules for a chapter's notebook, and the exercises in it. Used by tools/notebooks.py and by the tests.

The shape: a first cell with the chapter's title and what one can do afterwards; one set-up cell, tagged `setup`;
exercise cells tagged `exercise`, each a stub that raises NotImplementedError with its check in the same cell, followed
by a text cell with a folded hint and a folded solution

    <details><summary>Hint</summary>
    …
    </details>
    <details><summary>Solution</summary>

    ```python
    def scaling(alpha, r):
        return alpha / r
    ```
    </details>

; at the end "What we measured", a quiz, and what comes next.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

LARGEST = 300_000  # bytes of a saved notebook
LONGEST_CELL = 25  # lines of code
LONGEST_SETUP = 5
SOLUTION = re.compile(r"<details>\s*<summary>[^<]*Solution[^<]*</summary>(.*?)</details>", re.DOTALL | re.IGNORECASE)
FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Exercise:
    """A stub with its check, and the folded solution that follows it."""

    number: int  # 1, 2, … in the order of the notebook
    cell: str
    solution: str
    hint: bool


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def lines_of(source: str) -> int:
    """Lines of code, blank ones and comments not counted."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in source.splitlines())


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def exercises(notebook: NotebookNode) -> list[Exercise]:
    """The notebook's exercises, each with the first folded solution after it ("" if there is none)."""
    found, cells = [], notebook.cells
    places = [i for i, cell in enumerate(cells) if cell.cell_type == "code" and "exercise" in tags(cell)]
    for number, place in enumerate(places, 1):
        end = places[number] if number < len(places) else len(cells)
        text = "\n".join(cell.source for cell in cells[place + 1 : end] if cell.cell_type == "markdown")
        folded = SOLUTION.search(text)
        fence = FENCE.search(folded[1]) if folded else None
        hint = bool(re.search(r"<summary>[^<]*Hint", text, re.IGNORECASE))
        found.append(Exercise(number, cells[place].source, fence[1] if fence else "", hint))
    return found


def is_stub(cell: str) -> bool:
    """Whether an exercise's cell still waits for an answer."""
    return "NotImplementedError" in cell or "..." in cell


def problems(notebook: NotebookNode, path: Path) -> list[str]:
    """Every rule that the notebook, saved at `path`, breaks, in words. Empty is good."""
    code = code_cells(notebook)
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    first = notebook.cells[0].source if notebook.cells[0].cell_type == "markdown" else ""
    size, compared = path.stat().st_size, [cell for cell in code if is_compared(cell)]
    rules = [
        (size < LARGEST, f"{size / 1000:.0f} kB saved, at most {LARGEST // 1000}: draw fewer or smaller pictures"),
        (first.startswith("# "), "the first cell must be text that starts with the chapter's title, `# …`"),
        ("minute" in first, "the first cell must say how many minutes the chapter takes"),
        (any("what we measured" in text.lower() for text in texts), 'no "What we measured" section'),
        ([cell for cell in code if "setup" in tags(cell)] == code[:1], "the first code cell alone must be the `setup`"),
        (lines_of(code[0].source) <= LONGEST_SETUP, f"the set-up cell has over {LONGEST_SETUP} lines"),
        (3 * len(compared) >= len(code), f"only {len(compared)} of {len(code)} code cells have outputs to compare"),
        (any(is_quiz(cell) for cell in code), "no quiz: end a cell with a `Quiz`"),
    ]
    for number, cell in enumerate(code, 1):
        rules += rules_of_cell(number, cell)
    todo, least = exercises(notebook), 1 if path.name.startswith("00") else 3
    rules.append((len(todo) >= least, f"{len(todo)} exercises (cells tagged `exercise`), at least {least} are needed"))
    for exercise in todo:
        has = {"stub": is_stub(exercise.cell), "check": "check" in exercise.cell, "folded solution": exercise.solution,
               "folded hint": exercise.hint}  # fmt: skip
        rules += [(there, f"exercise {exercise.number} has no {what}") for what, there in has.items()]
    return [words for kept, words in rules if not kept]


def rules_of_cell(number: int, cell: NotebookNode) -> list[tuple[bool, str]]:
    """What holds for every code cell: (whether it is kept, what to say where it is not)."""
    title = f"code cell {number} ({cell.source.strip().splitlines()[0][:40]})"
    failed = any(output.output_type == "error" for output in cell.outputs)
    noisy = any(output.output_type == "stream" and output.name == "stderr" for output in cell.outputs)
    return [
        (len(cell.source.splitlines()) <= LONGEST_CELL, f"{title} has over {LONGEST_CELL} lines"),
        (cell.execution_count == number, f"{title} was not run in order: run `python tools/notebooks.py run`"),
        (not failed or "raises-exception" in tags(cell), f"{title} was saved with an error"),
        ("../data" not in cell.source, f"{title} reads ../data: `lorakit.lab.places` finds it from any folder"),
        (not noisy or "nbval-ignore-output" in tags(cell), f"{title} writes to stderr, which differs by machine"),
    ]


def is_compared(cell: NotebookNode) -> bool:
    """Whether nbval compares what the cell puts out."""
    return bool(cell.outputs) and not {"nbval-ignore-output", "nbval-skip"} & set(tags(cell))


def is_quiz(cell: NotebookNode) -> bool:
    return any("".join(o.get("data", {}).get("text/plain", "")).startswith("Quiz ") for o in cell.outputs)
