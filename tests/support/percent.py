"""Small notebooks for tests, written as text in percent format."""

import ast
import re

import nbformat


def from_percent(text: str) -> nbformat.NotebookNode:
    """A notebook without outputs. A cell begins with `# %%`, `# %% [markdown]` or `# %% tags=["setup"]`."""
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
    return nbformat.v4.new_notebook(cells=cells)
