"""The student copy: no solution and no quiz answer is left, everything else is, and the originals are untouched."""

import html
from pathlib import Path

import nbformat
import notebook_shape as shape
import pytest
import student_copy

from lorakit.chapters.rooms import modules

CHAPTERS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def texts(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_solutions_and_answers_go_and_the_code_stays(path):
    original, copy = (nbformat.read(path, as_version=4) for _ in range(2))
    copy = student_copy.student_copy(copy)
    exercises = shape.exercises(original)
    assert "Solution" not in texts(copy)
    assert not [e.number for e in exercises if not e.solution or e.solution.strip() in texts(copy)]
    assert texts(copy).count("<summary>Hint") == sum(e.hint for e in exercises)
    assert [c.source for c in shape.code_cells(copy)] == [c.source for c in shape.code_cells(original)]

    pages = [o.get("data", {}).get("text/html", "") for cell in shape.code_cells(copy) for o in cell.outputs]
    (quiz,) = [page for page in pages if "Check yourself" in page]
    assert "✓ <i>" not in quiz
    for question in modules("checks")[path.stem[3:]].quiz.questions:
        plain = [html.escape(why.split("`")[0], quote=False) for why in question.explanations]
        assert not [why for why in plain if why and why in quiz]


def test_hints_can_go_and_the_originals_are_never_written_over(tmp_path):
    before = [path.read_bytes() for path in CHAPTERS]
    student_copy.main([str(tmp_path), "--no-hints"])
    assert [path.name for path in sorted(tmp_path.iterdir())] == [path.name for path in CHAPTERS]
    assert all("<summary>Hint" not in path.read_text(encoding="utf-8") for path in tmp_path.iterdir())
    with pytest.raises(SystemExit):
        student_copy.main([str(CHAPTERS[0].parent)])
    assert [path.read_bytes() for path in CHAPTERS] == before
