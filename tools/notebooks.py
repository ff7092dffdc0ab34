"""The one script that writes notebooks/*.ipynb.

    python tools/notebooks.py run [NAME …]      run in place, save with outputs; byte-identical when run again
    python tools/notebooks.py check [NAME …]    the rules on shape and size, without running anything

A NAME is a path or the start of a file name in notebooks/ ("03"); none means all of them.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from notebook_shape import problems, tags

from lorakit.files.folder import replace_files

ROOT = Path(__file__).parents[1]
BAR = re.compile(r"\d+%\|")
WIDGET = "application/vnd.jupyter.widget-view+json"


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Drop all that differs from run to run: ids, timings, widget models, versions of the machine at hand."""
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        # An id from the content: unchanged cells keep theirs when others come or go.
        digest = hashlib.sha1(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] += 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        cell.metadata = NotebookNode({"tags": tags(cell)} if tags(cell) else {})
        if cell.cell_type == "code":
            for output in cell.outputs:
                if "data" in output:
                    output.data.pop(WIDGET, None)
                    output.metadata = NotebookNode()
            if "nbval-ignore-output" in tags(cell):
                # A live progress bar is saved as it was at its start: better none than "0%".
                cell.outputs = [o for o in cell.outputs if not BAR.search(o.get("data", {}).get("text/plain", ""))]
            cell.outputs = merged_streams(cell.outputs)
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        language_info={"name": "python"},
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def merged_streams(outputs: list) -> list:
    """Outputs with neighbouring pieces of one stream joined: where a kernel flushes depends on timing."""
    merged: list = []
    for output in outputs:
        if merged and output.output_type == "stream" == merged[-1].output_type and output.name == merged[-1].name:
            merged[-1].text += output.text
        else:
            merged.append(NotebookNode(output))  # a copy: the caller's own stay as they are
    return merged


def written(notebook: NotebookNode) -> str:
    """The file's content."""
    return nbformat.writes(notebook) + "\n"


def write(notebook: NotebookNode, path: Path) -> None:
    """Write atomically: a run that is interrupted leaves the old file."""
    replace_files(path.parent, {path.name: written(notebook).encode()})


def run(path: Path) -> NotebookNode:
    """Run a notebook top to bottom and save it with its outputs; a cell that raises stops the run, unsaved."""
    # What runs is what is committed.
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(path)], check=True, cwd=ROOT)
    notebook = nbformat.read(path, as_version=4)
    client(notebook, path.parent).execute(env=environment())
    write(tidy(notebook), path)
    return notebook


def client(notebook: NotebookNode, folder: Path) -> NotebookClient:
    """What runs the notebook's cells, in `folder`."""
    return NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--log-level=40"],  # errors only: no remarks on transports
    )


def environment(**more: str) -> dict[str, str]:
    """A kernel's: paths and modules must be the same wherever the tool is called from, and the workbook nobody's."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    own = {"LORAKIT_WORKBOOK": str(ROOT / ".cache" / "workbook")}
    return own | os.environ | {"PYTHONPATH": paths} | more


def chosen(names: list[str]) -> list[Path]:
    """The notebooks that `names` mean; all of notebooks/ for none. Raises SystemExit for a name that means none."""
    found = []
    for name in names or [""]:
        matches = (
            [Path(name).resolve()] if Path(name).is_file() else sorted((ROOT / "notebooks").glob(f"{name}*.ipynb"))
        )
        if not matches:
            raise SystemExit(f"no notebook {name!r}: give a path, or the start of a name in {ROOT / 'notebooks'}")
        found += matches
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "check"))
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    broken = 0
    for path in chosen(args.names):
        start = time.perf_counter()
        notebook = run(path) if args.command == "run" else nbformat.read(path, as_version=4)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1000:.0f} kB")
        for rule in problems(notebook, path):
            print(f"  ✗ {rule}")
            broken += 1
    return int(broken > 0)


if __name__ == "__main__":
    raise SystemExit(main())
