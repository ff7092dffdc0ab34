"""`make notebooks-test` shows that unchanged cells pass; here an altered number fails, printed or under a widget."""

import copy
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]


def altered(cell):
    """The cell again, with another first digit in what it showed."""
    again = copy.deepcopy(cell)
    output = again.outputs[0]
    shown, key = (output, "text") if output.output_type == "stream" else (output.data, "text/plain")
    shown[key] = re.sub(r"\d", lambda digit: str(9 - int(digit[0])), shown[key], count=1)
    again.id = f"{cell.id}-altered"
    return again


def test_altered_numbers_fail_and_nothing_else_does(tmp_path):
    pytest.importorskip("nbval")
    notebook = nbformat.read(ROOT / "notebooks" / "01_matrix_rank.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    setup, photo, printed = code[:3]
    widget = next(cell for cell in code if "rank_explorer(" in cell.source)
    notebook.cells = [setup, photo, printed, altered(printed), widget, altered(widget)]
    nbformat.write(notebook, tmp_path / "page.ipynb")
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    command += [f"--nbval-sanitize-with={ROOT}/tests/support/nbval_sanitize.cfg", f"{tmp_path}/page.ipynb"]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "2 failed, 4 passed" in done.stdout, done.stdout
