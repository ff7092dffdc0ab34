"""`pytest --nbval` as a person types it: unchanged cells pass, an altered number fails, printed or under a widget."""

import copy
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from lorakit.chapters.matrix_rank.checks import quiz
from lorakit.show.scores import keep_choice

ROOT = Path(__file__).parents[2]


def altered(cell):
    """The cell again, with another first digit in what it showed."""
    again = copy.deepcopy(cell)
    output = again.outputs[0]
    shown, key = (output, "text") if output.output_type == "stream" else (output.data, "text/plain")
    shown[key] = re.sub(r"\d", lambda digit: str(9 - int(digit[0])), shown[key], count=1)
    again.id = f"{cell.id}-altered"
    return again


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with one page, a part of chapter 01 with two altered cells and an account of what is done."""
    root = tmp_path_factory.mktemp("project")
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    for name in ("data", "lorakit", "tests"):
        (root / name).symlink_to(ROOT / name)
    notebook = nbformat.read(ROOT / "notebooks" / "01_matrix_rank.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    setup, photo, printed = code[:3]
    widget = next(cell for cell in code if "RankExplorer(" in cell.source)
    state = nbformat.v4.new_output("execute_result", {"text/plain": "'0 of 4 answered'"}, execution_count=1)
    done = nbformat.v4.new_code_cell("check.quiz.recall()\ncheck.quiz.summary()", outputs=[state], execution_count=1)
    notebook.cells = [setup, photo, printed, altered(printed), widget, altered(widget), done]
    (root / "notebooks").mkdir()
    nbformat.write(notebook, root / "notebooks" / "page.ipynb")
    return root


@pytest.mark.parametrize(("folder", "more"), [(".", []), ("notebooks", ["page.ipynb"])])
def test_altered_numbers_fail_and_nothing_else_does_wherever_it_is_typed_and_whatever_was_done(project, folder, more):
    question = quiz.questions[0]
    keep_choice("01", question.text, question.choices[0], True)  # the reader's workbook is a used one
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval", *more]
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_XDIST_WORKER"}  # nobody's worker
    done = subprocess.run(command, cwd=project / folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "2 failed, 5 passed" in done.stdout, done.stdout
