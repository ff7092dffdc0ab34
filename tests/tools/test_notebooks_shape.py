"""Every chapter keeps the course's shape, and its solutions pass its own checks. Nothing here runs a whole notebook."""

from pathlib import Path

import nbformat
import notebook_shape as shape
import pytest

from lorakit.show.exercises import REGISTRY
from notebooks import tidy, write
from tests.support.percent import from_percent

CHAPTERS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
EXERCISE = """
# %% [markdown]
# # 99 · A title
# You will be able to see. About 1 minute.
# %% tags=["setup"]
from lorakit.show import check_examples

check = check_examples("97.1", "t", right=lambda a, r: a / r, inputs=[(1, 2)], wrong={"no r": lambda a, r: a})
# %% tags=["exercise"]
factor = 1


def scaling(a, r):
    raise NotImplementedError


check(scaling)
# %% [markdown]
# <details><summary>Hint</summary>
#
# divide
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def scaling(a, r):
#     return factor * a / r
# ```
# </details>
"""


def run_solutions(notebook) -> int:
    """Execute the set-up cells, then every exercise with its solution in place, in one namespace. Returns how many."""
    names: dict = {"__name__": "__main__"}
    for cell in shape.setup_cells(notebook):
        exec(compile(cell.source, "set-up cell", "exec"), names)
    exercises = shape.exercises(notebook)
    for exercise in exercises:
        exec(compile(shape.solved(exercise), f"exercise {exercise.number}, solved", "exec"), names)
    return len(exercises)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_chapter_keeps_the_shape_and_is_saved_as_the_tool_saves_it(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    assert not shape.problems(notebook, path)
    again = tmp_path / path.name
    write(tidy(notebook), again)
    assert again.read_bytes() == path.read_bytes(), "written by hand: run `python tools/notebooks.py run`"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_folded_solutions_pass_their_checks(path, monkeypatch):
    monkeypatch.setenv("LORAKIT_STRICT", "1")
    monkeypatch.chdir(path.parent)
    assert run_solutions(nbformat.read(path, as_version=4)) >= 1


@pytest.fixture
def sample():
    yield from_percent(EXERCISE)
    REGISTRY.pop("97.1", None)


def test_a_right_solution_passes_and_a_wrong_one_fails(sample, monkeypatch):
    monkeypatch.setenv("LORAKIT_STRICT", "1")
    assert run_solutions(sample) == 1
    sample.cells[-1].source = sample.cells[-1].source.replace("factor * a / r", "a")
    with pytest.raises(AssertionError, match="no r"):
        run_solutions(sample)


def test_broken_rules_are_named(sample, tmp_path):
    sample.cells[0].source = "no title"
    sample.cells[1].source += "\n" + "x = 1\n" * 30
    sample.cells[-1].source = ""
    path = tmp_path / "99_x.ipynb"
    write(sample, path)
    words = " | ".join(shape.problems(sample, path))
    for rule in ("title", "minutes", "What we measured", "over 25 lines", "over 5 lines", "quiz", "not run in order"):
        assert rule in words
    assert "no folded solution" in words and "no folded hint" in words and "at least 3" in words
