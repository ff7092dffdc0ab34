"""Write a student copy of the notebooks: without solutions and outputs, so that predictions are predictions.

    python tools/student_copy.py [FOLDER] [--no-hints]

FOLDER is `student` beside `notebooks`, kept out of git; a copy runs from any folder. The code cells are
those of the course, so the copy runs and checks as the original does. What the checks compare with stands in
lorakit/chapters/<chapter>: the copy hides the answers from view, it does not lock them away. Badges go: they open the
chapters with solutions. A notebook in FOLDER that somebody has worked in is kept, unless --overwrite is given.
"""

import argparse
import re
import subprocess
from pathlib import Path

import nbformat
from badges import marked
from nbformat import NotebookNode
from notebook_shape import SOLUTION, exercises, is_stub

from notebooks import ROOT, write, written

NAMED = re.compile(r"^show\.student\(['\"]\w", re.MULTILINE)
HINT = re.compile(r"<details>\s*<summary>[^<]*Hint[^<]*</summary>.*?</details>\n?", re.DOTALL | re.IGNORECASE)


def student_copy(notebook: NotebookNode, hints: bool = True) -> NotebookNode:
    """The notebook, changed in place: without folded solutions (and hints, if not wanted), badges and outputs."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            source = SOLUTION.sub("", marked("badges").sub("\n\n", cell.source))
            cell.source = (source if hints else HINT.sub("", source)).strip()
        else:
            cell.outputs, cell.execution_count = [], None
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    return notebook


def doubts(originals: Path) -> list[str]:
    """What of the sources an instructor should look at before giving copies away."""
    found = []
    for path in sorted(originals.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        solved = [str(each.number) for each in exercises(notebook) if not is_stub(each.cell)]
        shown = any("✓ Exercise" in str(cell.get("outputs")) for cell in notebook.cells)
        named = any(NAMED.search(cell.source) for cell in notebook.cells)
        if named:
            found.append(f"{path.name} gives a student's name")
        if solved or shown:
            found.append(f"{path.name} carries answers: exercise {', '.join(solved) or 'outputs'}")
    status = ["git", "-C", str(originals), "status", "--porcelain", "--", "."]
    changed = subprocess.run(status, capture_output=True, text=True, encoding="utf-8").stdout
    return found + [f"not committed: {line}" for line in changed.splitlines()]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "student")
    parser.add_argument("--no-hints", action="store_true", help="take the hints out too")
    parser.add_argument("--overwrite", action="store_true", help="write over notebooks that somebody has worked in")
    args = parser.parse_args(arguments)
    originals = ROOT / "notebooks"
    if args.folder.resolve() == originals.resolve():
        parser.error(f"{args.folder} holds the originals: name another folder")
    args.folder.mkdir(parents=True, exist_ok=True)
    copies = {path.name: nbformat.read(path, as_version=4) for path in sorted(originals.glob("*.ipynb"))}
    for notebook in copies.values():
        nbformat.validate(student_copy(notebook, not args.no_hints))
    others = [name for name, copy in copies.items() if not as_written(args.folder / name, copy)]
    if others and not args.overwrite:
        again = "--overwrite" + " --no-hints" * args.no_hints
        parser.error(f"{args.folder} has {', '.join(others)}, with somebody's work or older: name another folder, "
                     f'or replace them with make student-copy STUDENT="{again}"')  # fmt: skip
    for name, notebook in copies.items():
        write(notebook, args.folder / name)
    for doubt in doubts(originals):
        print(f"look again: {doubt}")
    print(f"notebooks without solutions in {args.folder}; docs/scoring.md says how to open them")


def as_written(path: Path, copy: NotebookNode) -> bool:
    """Whether there is nothing at `path` to lose: no file, or the copy itself."""
    return not path.exists() or path.read_text(encoding="utf-8") == written(copy)


if __name__ == "__main__":
    main()
