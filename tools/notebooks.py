"""The one script that writes notebooks/*.ipynb.

    python tools/notebooks.py run [NAME …]            run in place, save with outputs; byte-identical when run again
    python tools/notebooks.py from-py DRAFT.py NB     make (or remake) a notebook from a draft in percent format
    python tools/notebooks.py check [NAME …]          the rules on shape and size, without running anything

A NAME is a path or the start of a file name in notebooks/ ("03"); none means all of them. A draft looks like

    # %% [markdown]
    # ## A heading
    # %% tags=["nbval-ignore-output"]
    print("a code cell")
"""

import argparse
import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbformat import NotebookNode

sys.path.insert(0, str(Path(__file__).parent))
from notebook_shape import problems, remarks  # noqa: E402

ROOT = Path(__file__).parents[1]
BAR = re.compile(r"\d+%\|")
WIDGET = "application/vnd.jupyter.widget-view+json"


def from_percent(text: str) -> NotebookNode:
    """A notebook, without outputs, from a draft in percent format. Text before the first `# %%` is left out."""
    cells = []
    for block in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]:
        head, _, body = block.partition("\n")
        tags = re.search(r"tags=(\[.*?\])", head)
        metadata = {"tags": ast.literal_eval(tags[1])} if tags else {}
        if "[markdown]" in head:
            body = re.sub(r"^# ?", "", body, flags=re.MULTILINE)
            cells.append(nbformat.v4.new_markdown_cell(body.strip("\n"), metadata=metadata))
        else:
            cells.append(nbformat.v4.new_code_cell(body.strip("\n"), metadata=metadata))
    return nbformat.v4.new_notebook(cells=[cell for cell in cells if cell.source.strip()])


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Drop all that differs from run to run: ids, timings, widget models, versions of the machine at hand."""
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        # An id from the content: unchanged cells keep theirs when others come or go.
        digest = hashlib.sha1(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k == "tags" and v})
        for output in cell.get("outputs", []):
            if "data" in output:
                output.data.pop(WIDGET, None)
                output.metadata = NotebookNode()
        if cell.cell_type == "code":
            if "nbval-ignore-output" in cell.metadata.get("tags", []):
                # A live progress bar is saved as it was at its start: better none than "0%".
                cell.outputs = [
                    o for o in cell.outputs if not BAR.search("".join(o.get("data", {}).get("text/plain", "")))
                ]
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


def write(notebook: NotebookNode, path: Path) -> None:
    """Write atomically: a run that is interrupted leaves the old file."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def lint(path: Path) -> None:
    """Let ruff format the cells, so that what runs is what is committed."""
    if ruff := shutil.which("ruff") or shutil.which("ruff", path=Path(sys.executable).parent):
        subprocess.run([ruff, "format", "--quiet", str(path)], check=True, cwd=ROOT)


def run(path: Path, timeout: int = 900) -> NotebookNode:
    """Run a notebook top to bottom and save it with its outputs; a cell that raises stops the run, unsaved."""
    from nbclient import NotebookClient

    lint(path)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    # Paths and modules must be the same wherever the tool is called from.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--log-level=40"],  # errors only: no remarks on transports
    )
    client.execute()
    write(tidy(notebook), path)
    return notebook


def chosen(names: list[str]) -> list[Path]:
    """The notebooks that `names` mean; all of notebooks/ for none."""
    folder = ROOT / "notebooks"
    if not names:
        return sorted(folder.glob("*.ipynb"))
    found = []
    for name in names:
        matches = [Path(name).resolve()] if Path(name).is_file() else sorted(folder.glob(f"{name}*.ipynb"))
        if not matches:
            raise SystemExit(f"no notebook {name!r}: give a path, or the start of a name in {folder}")
        found += matches
    return found


def report(path: Path) -> int:
    """Print what breaks a rule and what is worth a look; the number of broken rules."""
    notebook = nbformat.read(path, as_version=4)
    broken = problems(notebook, path)
    for line in broken:
        print(f"  ✗ {line}")
    for line in remarks(notebook):
        print(f"  · {line}")
    return len(broken)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (("run", "run in place and save with outputs"), ("check", "check the rules")):
        commands.add_parser(name, help=words).add_argument("names", nargs="*")
    draft = commands.add_parser("from-py", help="make a notebook from a draft in percent format")
    draft.add_argument("draft", type=Path)
    draft.add_argument("notebook", type=Path)
    draft.add_argument("--run", action="store_true", help="run it afterwards")
    args = parser.parse_args()

    if args.command == "from-py":
        args.notebook = args.notebook.resolve()
        write(tidy(from_percent(args.draft.read_text(encoding="utf-8"))), args.notebook)
        lint(args.notebook)
        print(f"{args.notebook}: written" + ("" if args.run else ", without outputs"))
        if not args.run:
            return 0
        args.names = [str(args.notebook)]
    broken = 0
    for path in chosen(args.names):
        start = time.perf_counter()
        if args.command != "check":
            run(path)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1000:.0f} kB")
        broken += report(path)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
