"""Build the reading copy: a web site of all chapters with their saved outputs, to read from disk without a network.

    python tools/site_copy.py [FOLDER]        # build/site, open its index.html

Nothing is executed. The sources are laid out anew for each build in FOLDER-source.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from badges import ROOT, marked
from student_copy import doubts

INDEX = """# lorakit: Low-Rank Adaptation, measured

A course in which every claim about LoRA is a cell that measures it. This is the reading copy: each page shows a chapter
with the outputs it was saved with. To change a number and run it again, open the course itself with `make lab`.

![A base model that cannot write SQL learns it through a small adapter](picture.png)

{course}

```{{toctree}}
:caption: Chapters
:hidden:

{chapters}
```

```{{toctree}}
:caption: About
:hidden:

{pages}
```
"""


def course(chapters: list[Path]) -> str:
    """The README's table of these chapters: what one can do afterwards, and the minutes."""
    lines = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    head = next(number for number, line in enumerate(lines) if "afterwards you can" in line)
    rows = [line for line in lines[head + 2 :] if any(f"notebooks/{path.name})" in line for path in chapters)]
    return "\n".join(lines[head : head + 2] + rows)


def lay_out(source: Path, chapters: list[Path], pages: bool = True) -> None:
    """Write Sphinx's sources into `source`: settings, the chapters, the README and the pages of docs."""
    shutil.rmtree(source, ignore_errors=True)
    (source / "_static").mkdir(parents=True)
    (source / "notebooks").mkdir()
    shutil.copy(ROOT / "docs" / "site" / "conf.py", source)
    shutil.copy(ROOT / "docs" / "site" / "lorakit.css", source / "_static")
    shutil.copy(ROOT / "docs" / "picture.png", source)
    for path in chapters:
        notebook = nbformat.read(path, as_version=4)
        for cell, mark in ((notebook.cells[0], "badges"), (notebook.cells[-1], "neighbours")):  # a page has its own
            cell.source = marked(mark).sub("\n", cell.source).strip()
        name_pictures(notebook)
        nbformat.write(notebook, source / "notebooks" / path.name)
    about = []
    if pages:
        shutil.copytree(ROOT / "docs", source / "docs", ignore=shutil.ignore_patterns("site", "badges"))
        readme = marked("badges").sub("\n\n", (ROOT / "README.md").read_text(encoding="utf-8"))
        # What is not part of the site, the package's files above all, is named and not linked.
        readme = re.sub(r"\[([^\]]+)\]\((?!https?:|docs/|notebooks/)[^)]+\)", r"\1", readme)
        (source / "readme.md").write_text(readme, encoding="utf-8")
        about = ["The project <readme>", *(f"docs/{page.stem}" for page in sorted((ROOT / "docs").glob("*.md")))]
    names = "\n".join(f"notebooks/{path.stem}" for path in chapters)
    (source / "index.md").write_text(
        INDEX.format(course=course(chapters), chapters=names, pages="\n".join(about)), encoding="utf-8"
    )


def name_pictures(notebook: nbformat.NotebookNode) -> None:
    """Give every saved picture an alternative text: what its output says in words."""
    for cell in notebook.cells:
        words = [o.data.get("text/plain", "") for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        if words:
            # myst-nb takes one text for all pictures of a cell.
            alt = " ".join(" ".join(words).replace("Figure: ", "").split())
            cell.metadata["mystnb"] = {"image": {"alt": alt}}


def build(folder: Path, chapters: list[Path], pages: bool = True) -> Path:
    """Build the site into `folder`; its index.html. A warning of Sphinx, such as a broken link, is an error."""
    source = folder.with_name(folder.name + "-source")
    lay_out(source, chapters, pages)
    sphinx = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going"]
    if subprocess.run([*sphinx, str(source), str(folder)]).returncode:
        raise SystemExit("the site was not built: see the warnings above")
    return folder / "index.html"


def foreign(folder: Path) -> dict[str, list[str]]:
    """Page → what it would fetch from a network: scripts, styles, pictures. Links that a reader may follow are not."""
    wanted = re.compile(r"<(?:script|img|iframe|source)[^>]*\bsrc=[\"'](https?:[^\"']*|//[^\"']*)|"
                        r"<link(?![^>]*rel=[\"']canonical)[^>]*\bhref=[\"'](https?:[^\"']*|//[^\"']*)")  # fmt: skip
    found = {}
    for page in folder.rglob("*.html"):
        hits = ["".join(pair) for pair in wanted.findall(page.read_text(encoding="utf-8"))]
        if hits:
            found[str(page.relative_to(folder))] = hits
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "site")
    folder = parser.parse_args().folder
    index = build(folder, sorted((ROOT / "notebooks").glob("*.ipynb")))
    fetched = foreign(folder)
    for page, addresses in fetched.items():
        print(f"{page} fetches from the network: {', '.join(addresses)}")
    for doubt in doubts(ROOT / "notebooks"):
        print(f"look again: {doubt}")
    print(f"open {index}")
    return 1 if fetched else 0


if __name__ == "__main__":
    raise SystemExit(main())
