"""Launch badges: one line of links to Colab and Binder at the top of every chapter and in the README.

    python tools/badges.py            # write them where they are missing or old
    python tools/badges.py --check    # only say which are

The repository's address stands in one place, pyproject.toml's [project.urls]; after changing it, run this once.
"""

import argparse
import re
import tomllib
from pathlib import Path
from urllib.parse import quote

import nbformat

from notebooks import tidy, write

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- badges -->", "<!-- /badges -->"
BLOCK = re.compile(rf"\n*{BEGIN}.*?{END}\n*", re.DOTALL)
FIRST = "notebooks/00_start_here.ipynb"


def repository() -> str:
    """ "owner/name" on GitHub, from pyproject.toml."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    return urls["Repository"].removeprefix("https://github.com/").strip("/")


def links(path: str, pictures: str) -> str:
    """The badges that open the notebook at `path`; `pictures` is where docs/badges lies from the page."""
    name = repository()
    colab = f"https://colab.research.google.com/github/{name}/blob/main/{path}"
    binder = f"https://mybinder.org/v2/gh/{name}/HEAD?urlpath={quote('lab/tree/' + path, safe='')}"
    return f"[![open in Colab]({pictures}/colab.svg)]({colab}) [![open in Binder]({pictures}/binder.svg)]({binder})"


def chapter_block(path: str) -> str:
    """The badges of a chapter, with the lines that Colab needs: it opens the notebook alone, without its checkout."""
    name = repository()
    folder = name.split("/")[1]
    return "\n".join(
        [
            BEGIN,
            links(path, "../docs/badges"),
            "",
            "<details><summary>On Colab, run this in a cell of its own first</summary>",
            "",
            "```",
            f"!git clone -q https://github.com/{name} && pip install -q -e {folder}",
            f'import sys; sys.path.insert(0, "/content/{folder}")',
            f"%cd {folder}/notebooks",
            "```",
            "",
            "</details>",
            END,
        ]
    )


def with_badges(text: str, block: str) -> str:
    """`text` with the block in place of the old one, or at its end."""
    if BLOCK.search(text):
        return BLOCK.sub(lambda old: "\n\n" + block + ("\n\n" if old.end() < len(text) else ""), text).rstrip("\n")
    return text.rstrip() + "\n\n" + block


def wanted() -> dict[Path, str]:
    """Files whose badges are missing or old, with the new text: of a notebook's first cell, or of the README."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        first = nbformat.read(path, as_version=4).cells[0].source
        new = with_badges(first, chapter_block(f"notebooks/{path.name}"))
        if new != first:
            found[path] = new
    readme = ROOT / "README.md"
    old = readme.read_text(encoding="utf-8")
    block = f"{BEGIN}\n{links(FIRST, 'docs/badges')}\n{END}"
    new = BLOCK.sub(lambda _: f"\n\n{block}\n\n", old)
    if BEGIN not in old:
        title, rest = old.split("\n", 1)
        new = f"{title}\n\n{block}\n\n{rest.lstrip()}"
    if new != old:
        found[readme] = new
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if something is old")
    check = parser.parse_args(arguments).check
    old = wanted()
    for path, text in old.items():
        print(f"{path.relative_to(ROOT)}: {'old badges' if check else 'badges written'}")
        if check:
            continue
        if path.suffix == ".ipynb":
            notebook = nbformat.read(path, as_version=4)
            notebook.cells[0].source = text
            write(tidy(notebook), path)
        else:
            path.write_text(text, encoding="utf-8")
    return 1 if check and old else 0


if __name__ == "__main__":
    raise SystemExit(main())
