"""Comparing saved outputs works: widget, quiz, plot and check pass when they are run again, an altered number fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from notebooks import run, write
from tests.support.percent import from_percent

ROOT = Path(__file__).parents[2]
PAGE = """
# %%
import torch

from lorakit.chapters.matrix_rank.explorer import rank_explorer
from lorakit.show import Question, Quiz, check_examples, figure
# %%
W = torch.outer(torch.arange(1.0, 7), torch.arange(1.0, 5))
print("rank", torch.linalg.matrix_rank(W).item(), "took 3.2 s at", object())
# %%
print("rank", torch.linalg.matrix_rank(W).item(), "took 3.2 s at", object())
# %%
rank_explorer(W, "An outer product", rank=1, kind="weight")
# %%
rank_explorer(W, "An outer product again", rank=1, kind="weight")
# %%
fig, ax = figure("A line")
ax.plot([1, 2])
fig
# %%
half = check_examples("96.1", "half", right=lambda x: x / 2, inputs=[(1,)], wrong={"that is the whole": lambda x: x})
_ = half(lambda x: x)
# %%
Quiz("96", [Question("Which?", ("this", "that"), 0, ("Yes.", "No."))])
# %% tags=["nbval-ignore-output"]
print(object(), torch.rand(1))
"""


def test_unchanged_cells_pass_and_altered_numbers_fail(tmp_path):
    pytest.importorskip("nbval")
    page = tmp_path / "page.ipynb"
    write(from_percent(PAGE), page)
    cells = len(run(page).cells)
    text = page.read_text()
    for old, new in (("rank 1 took", "rank 2 took"), ("relative error 0.000", "relative error 0.001")):
        assert text.count(old) >= 2, "one to alter and one to leave"
        text = text.replace(old, new, 1)
    page.write_text(text)
    sanitize = f"--nbval-sanitize-with={ROOT}/tests/support/nbval_sanitize.cfg"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--nbval",
        "--nbval-current-env",
        sanitize,
    ]
    done = subprocess.run([*command, str(page)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "2 failed" in done.stdout and f"{cells - 2} passed" in done.stdout, done.stdout
