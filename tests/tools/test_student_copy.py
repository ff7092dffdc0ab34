"""The student copy: no solution and no quiz answer is left, everything else is, and the originals are untouched."""

import html
from pathlib import Path

import nbformat
import pytest

from lorakit.chapters.rooms import modules

ROOT = Path(__file__).parents[2]
import notebook_shape as shape  # noqa: E402
import student_copy  # noqa: E402

CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    before = [path.read_bytes() for path in CHAPTERS]
    student_copy.write_copies(folder)
    assert [path.read_bytes() for path in CHAPTERS] == before
    return folder


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_nothing_of_a_solution_is_left(path, copies):
    original, copy = (nbformat.read(p, as_version=4) for p in (path, copies / path.name))
    text = "\n".join(cell.source for cell in copy.cells if cell.cell_type == "markdown")
    for exercise in shape.exercises(original):
        assert exercise.solution and exercise.solution.strip() not in text
    assert "Solution" not in text
    assert text.count("<summary>Hint") == sum(e.hint for e in shape.exercises(original))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_no_answer_of_the_quiz_is_left_and_its_questions_are(path, copies):
    quiz = modules("checks")[path.stem[3:]].quiz
    text = (copies / path.name).read_text(encoding="utf-8")
    pages = [
        "".join(output.get("data", {}).get("text/html", ""))
        for cell in nbformat.reads(text, as_version=4).cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]
    assert any("Check yourself" in page for page in pages)
    for question in quiz.questions:
        for why in question.explanations:
            plain = html.escape(why.split("`")[0], quote=False)
            assert not plain or all(plain not in page for page in pages if "Check yourself" in page)
    assert "✓ <i>" not in text


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_the_code_is_that_of_the_course(path, copies):
    original, copy = (nbformat.read(p, as_version=4) for p in (path, copies / path.name))
    assert [c.source for c in shape.code_cells(copy)] == [c.source for c in shape.code_cells(original)]


def test_copying_again_gives_the_same_bytes_and_hints_can_go(copies, tmp_path):
    student_copy.write_copies(tmp_path / "again")
    for path in CHAPTERS:
        assert (tmp_path / "again" / path.name).read_bytes() == (copies / path.name).read_bytes()
    student_copy.main([str(tmp_path / "bare"), "--no-hints"])
    assert all("<summary>Hint" not in p.read_text() for p in (tmp_path / "bare").glob("*.ipynb"))


def test_the_originals_are_never_written_over():
    with pytest.raises(SystemExit):
        student_copy.main([str(ROOT / "notebooks")])
