"""Write a student copy of the notebooks: without the solutions, and without the quizzes' answers in the saved pages.

    python tools/student_copy.py [FOLDER] [--no-hints]

FOLDER is `student` beside `notebooks`, where the same relative paths hold; it is kept out of git. The code cells are
those of the course, so the copy runs and checks as the original does. What the checks compare with stands in
lorakit/chapters/<chapter>: the copy hides the answers from view, it does not lock them away.
"""

import argparse
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from notebook_shape import SOLUTION

from notebooks import ROOT, write

HINT = re.compile(r"<details>\s*<summary>[^<]*Hint[^<]*</summary>.*?</details>\n?", re.DOTALL | re.IGNORECASE)
QUIZ_ANSWER = re.compile(r"<details><summary>Answer</summary>.*?</details>", re.DOTALL)


def student_copy(notebook: NotebookNode, hints: bool = True) -> NotebookNode:
    """The notebook, changed in place: folded solutions taken out (and hints, if not wanted), and the quiz's answers."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            source = SOLUTION.sub("", cell.source)
            cell.source = (source if hints else HINT.sub("", source)).strip()
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = QUIZ_ANSWER.sub("", data["text/html"])
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    return notebook


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "student")
    parser.add_argument("--no-hints", action="store_true", help="take the hints out too")
    args = parser.parse_args(arguments)
    originals = ROOT / "notebooks"
    if args.folder.resolve() == originals.resolve():
        parser.error(f"{args.folder} holds the originals: name another folder")
    args.folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(originals.glob("*.ipynb")):
        notebook = student_copy(nbformat.read(path, as_version=4), not args.no_hints)
        nbformat.validate(notebook)
        write(notebook, args.folder / path.name)
    print(f"notebooks without solutions in {args.folder}")
    if args.folder.resolve().parent != ROOT:
        print("some cells read ../data: put the folder beside `notebooks` to run them")


if __name__ == "__main__":
    main()
