"""Every chapter keeps the course's shape, and its solutions pass its own checks. Nothing here runs a whole notebook."""

import ast
import asyncio
import linecache
from pathlib import Path

import nbformat
import notebook_shape as shape
import pytest
from class_scores import collect, course, table
from saving import Contents
from student_copy import student_copy

from lorakit.show.exercises import REGISTRY
from notebooks import tidy, write
from tests.support.percent import from_percent

CHAPTERS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
EXERCISE = """
# %% [markdown]
# # 99 · A title
# You will be able to see. About 1 minute.
# %% tags=["setup"]
from lorakit.show.exercises import check_examples

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


def run_cell(source: str, names: dict) -> None:
    """As a kernel runs it: errors name its lines, and the source of what it defines can be had."""
    file = f"cell {hash(source)}"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), names)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_chapter_keeps_the_shape_and_is_saved_as_the_tool_saves_it(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    assert not shape.problems(notebook, path)
    again = tmp_path / path.name
    write(tidy(notebook), again)
    assert again.read_bytes() == path.read_bytes(), "written by hand: run `python tools/notebooks.py run`"


def setup_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells a solution may rely on: those tagged `setup` or `needed`."""
    return [cell for cell in shape.code_cells(notebook) if {"setup", "needed"} & set(shape.tags(cell))]


def solved(exercise: shape.Exercise) -> str:
    """The exercise's cell with the solution in the place of its stubs: what a student who is done would have in it."""
    *body, check = ast.parse(exercise.cell).body
    sources = [ast.unparse(each) for each in body if not isinstance(each, ast.FunctionDef | ast.ClassDef)]
    given = [source for source in sources if not shape.is_stub(source)]
    return "\n".join([*given, exercise.solution, ast.unparse(check)])


def score(workbook: Path, chapter: str) -> str:
    """What the class's table says of the chapter's exercises."""
    todo = course()
    students, wrong = collect(workbook, todo)
    return " ".join(table(students, todo).get(f"{chapter} exercises", [])) + "".join(wrong)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_an_untouched_copy_scores_nothing_nor_does_a_syntax_error_and_pasted_solutions_all(path, tmp_path, monkeypatch):
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("LORAKIT_BUDGET", "fast")  # 06.3 trains what it judges
    original, copy, names = (
        nbformat.read(path, as_version=4),
        nbformat.read(path, as_version=4),
        {"__name__": "__main__"},
    )
    handed_out = [exercise.cell for exercise in shape.exercises(student_copy(copy))]
    solutions = [solved(exercise) for exercise in shape.exercises(original)]
    for cell in setup_cells(copy):
        run_cell(cell.source, names)
    for cell in handed_out:
        run_cell(cell, names)
        with pytest.raises(SyntaxError):
            run_cell(cell + "\ndef (", names)
    assert score(tmp_path / "workbook", path.stem[:2]) == ""
    for cell in solutions:
        run_cell(cell, names)
    assert score(tmp_path / "workbook", path.stem[:2]) == f"{len(solutions)}/{len(solutions)}"


def test_a_chapter_that_was_only_opened_is_saved_as_it_was(tmp_path):
    contents, shipped = Contents(root_dir=str(tmp_path)), CHAPTERS[0].read_bytes()
    (tmp_path / "one.ipynb").write_bytes(shipped)
    opened = asyncio.run(contents.get("one.ipynb"))
    assert "version" in opened["content"].metadata.language_info  # else Lab puts it in, and the notebook is modified
    asyncio.run(contents.save(opened, "one.ipynb"))
    assert (tmp_path / "one.ipynb").read_bytes() == shipped


@pytest.fixture
def sample():
    yield from_percent(EXERCISE)
    REGISTRY.pop("97.1", None)


def test_broken_rules_are_named(sample, tmp_path):
    sample.cells[0].source = "no title"
    sample.cells[1].source += "\n" + "x = 1\n" * 30 + 'open("../data/x")'
    sample.cells[-1].source = ""
    path = tmp_path / "99_x.ipynb"
    write(sample, path)
    words = " | ".join(shape.problems(sample, path))
    for rule in ("title", "minutes", "What we measured", "over 25 lines", "over 5 lines", "quiz", "not run in order",
                 "reads ../data"):  # fmt: skip
        assert rule in words
    assert "no folded solution" in words and "no folded hint" in words and "at least 3" in words
