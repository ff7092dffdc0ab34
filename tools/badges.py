"""Links that every chapter has: to Colab and Binder at its top (and the README's), to its neighbours at its end.

    python tools/badges.py            # write them where they are old

The repository's address stands in one place, pyproject.toml's [project.urls]; after changing it, or after a chapter was
added or renamed, run this once.
"""

import re
import tomllib
from pathlib import Path
from urllib.parse import quote

import nbformat
from nbformat import NotebookNode

from notebooks import ROOT, tidy, written

README = ROOT / "README.md"
# Colab opens the notebook alone. A plain install goes where a kernel that runs already looks; an editable one, which
# Python reads at its start, would need a restart.
ON_COLAB = """
On Colab, first run this in a cell of its own:

```
!git clone -q https://github.com/{name} && pip install -q ./{folder}
%cd {folder}/notebooks
```
"""


def repository() -> str:
    """ "owner/name" on GitHub, from pyproject.toml."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    return urls["Repository"].removeprefix("https://github.com/").strip("/")


def block(path: str, pictures: str, more: str = "") -> str:
    """The badges that open the notebook at `path`; `pictures` is where docs/badges lies from the page."""
    name = repository()
    colab = f"https://colab.research.google.com/github/{name}/blob/main/{path}"
    binder = f"https://mybinder.org/v2/gh/{name}/HEAD?urlpath={quote('lab/tree/' + path, safe='')}"
    links = f"[![open in Colab]({pictures}/colab.svg)]({colab}) [![open in Binder]({pictures}/binder.svg)]({binder})"
    return f"{links}\n{more.format(name=name, folder=name.split('/')[1])}"


def marked(mark: str) -> re.Pattern:
    """Finds the block between the comments of `mark`, with the empty lines around it."""
    return re.compile(rf"\n*<!-- {mark} -->.*?<!-- /{mark} -->\n*", re.DOTALL)


def with_block(text: str, mark: str, new: str) -> str:
    """`text` with `new` between the comments of `mark`, in place of what stood there, or at its end."""
    new = f"<!-- {mark} -->\n{new}<!-- /{mark} -->"
    old = marked(mark).search(text)
    before, after = (text[: old.start()], text[old.end() :]) if old else (text.rstrip(), "")
    return "\n\n".join(filter(None, [before, new, after]))


def furnished(notebook: NotebookNode, name: str, neighbours: dict[str, str]) -> NotebookNode:
    """The notebook, in place, with badges in its first cell and links to its neighbours (file → link) in its last."""
    first, last = notebook.cells[0], notebook.cells[-1]
    first.source = with_block(first.source, "badges", block(f"notebooks/{name}", "../docs/badges", ON_COLAB))
    links = " · ".join(f"[{text}]({file})" for file, text in neighbours.items())
    last.source = with_block(last.source, "neighbours", links + "\n")
    return tidy(notebook)


def wanted() -> dict[Path, str]:
    """Files whose links are missing or old, with their new content."""
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    notebooks = [nbformat.read(path, as_version=4) for path in paths]
    titles = [notebook.cells[0].source.split("\n")[0].strip("# ") for notebook in notebooks]
    new = {
        README: with_block(
            README.read_text(encoding="utf-8"), "badges", block(f"notebooks/{paths[0].name}", "docs/badges")
        )
    }
    for i, (path, notebook) in enumerate(zip(paths, notebooks, strict=True)):
        neighbours = {paths[i - 1].name: f"← {titles[i - 1]}"} if i else {}
        if path != paths[-1]:
            neighbours[paths[i + 1].name] = f"{titles[i + 1]} →"
        new[path] = written(furnished(notebook, path.name, neighbours))
    return {path: text for path, text in new.items() if text != path.read_text(encoding="utf-8")}


def main() -> None:
    for path, text in wanted().items():
        path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: links written")


if __name__ == "__main__":
    main()
