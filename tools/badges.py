"""Launch badges: one line of links to Colab and Binder at the top of every chapter and in the README.

    python tools/badges.py            # write them where they are old

The repository's address stands in one place, pyproject.toml's [project.urls]; after changing it, run this once.
"""

import re
import tomllib
from pathlib import Path
from urllib.parse import quote

import nbformat

from notebooks import ROOT, tidy, write

BEGIN, END = "<!-- badges -->", "<!-- /badges -->"
BLOCK = re.compile(rf"\n*{BEGIN}.*?{END}\n*", re.DOTALL)
README = ROOT / "README.md"
# Colab opens the notebook alone. A plain install goes where a kernel that runs already looks; an editable one, which
# Python reads at its start, would need a restart.
ON_COLAB = """
<details><summary>On Colab, run this in a cell of its own first</summary>

```
!git clone -q https://github.com/{name} && pip install -q ./{folder}
%cd {folder}/notebooks
```

</details>
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
    return f"{BEGIN}\n{links}\n{more.format(name=name, folder=name.split('/')[1])}{END}"


def chapter_block(path: str) -> str:
    return block(path, "../docs/badges", ON_COLAB)


def with_badges(text: str, new: str) -> str:
    """`text` with the block in place of the old one, or at its end."""
    old = BLOCK.search(text)
    before, after = (text[: old.start()], text[old.end() :]) if old else (text.rstrip(), "")
    return "\n\n".join(filter(None, [before, new, after]))


def wanted() -> dict[Path, str]:
    """Files whose badges are missing or old, with the new text: of a notebook's first cell, or of the README."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        first = nbformat.read(path, as_version=4).cells[0].source
        new = with_badges(first, chapter_block(f"notebooks/{path.name}"))
        if new != first:
            found[path] = new
    readme = README.read_text(encoding="utf-8")
    new = with_badges(readme, block("notebooks/00_start_here.ipynb", "docs/badges"))
    return found | ({README: new} if new != readme else {})


def main() -> None:
    for path, text in wanted().items():
        if path == README:
            path.write_text(text, encoding="utf-8")
        else:
            notebook = nbformat.read(path, as_version=4)
            notebook.cells[0].source = text
            write(tidy(notebook), path)
        print(f"{path.relative_to(ROOT)}: badges written")


if __name__ == "__main__":
    main()
