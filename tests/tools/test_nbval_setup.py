"""Comparing saved outputs works: widget, quiz, plot and check pass again and again, and an altered number fails."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
from notebooks import from_percent, run, write  # noqa: E402

PAGE = """
# %%
import torch

from lorakit.chapters.matrix_rank.explorer import rank_explorer
from lorakit.show import Question, Quiz, check_examples, figure
# %%
W = torch.outer(torch.arange(1.0, 7), torch.arange(1.0, 5))
print("rank", torch.linalg.matrix_rank(W).item(), "took 3.2 s at", object())
# %%
rank_explorer(W, "An outer product", rank=1, kind="weight")
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


def compare(path: Path) -> subprocess.CompletedProcess:
    options = [
        "--nbval",
        "--nbval-current-env",
        f"--nbval-sanitize-with={ROOT}/tests/support/nbval_sanitize.cfg",
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    pytest.importorskip("nbval")
    path = tmp_path_factory.mktemp("page") / "page.ipynb"
    write(from_percent(PAGE), path)
    run(path)
    return path


def test_an_unchanged_page_passes_as_often_as_it_is_run(page):
    for _ in range(2):
        result = compare(page)
        assert result.returncode == 0, result.stdout


def test_altered_numbers_fail_wherever_they_stand(page, tmp_path):
    notebook = nbformat.read(page, as_version=4)
    text = page.read_text()
    for old, new in (("rank 1 took", "rank 2 took"), ("relative error 0.000", "relative error 0.001")):
        assert old in text
        text = text.replace(old, new)
    altered = tmp_path / "altered.ipynb"
    altered.write_text(text)
    result = compare(altered)
    assert result.returncode == 1
    assert "2 failed" in result.stdout and f"{len(notebook.cells) - 2} passed" in result.stdout
