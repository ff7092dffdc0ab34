"""The student copy: no solution and no quiz answer is left, everything else is, and the originals are untouched."""

from pathlib import Path

import nbformat
import notebook_shape as shape
import pytest
import student_copy

CHAPTERS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def texts(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_solutions_and_answers_go_and_the_code_stays(path):
    original, copy = (nbformat.read(path, as_version=4) for _ in range(2))
    copy = student_copy.student_copy(copy)
    exercises = shape.exercises(original)
    assert "Solution" not in texts(copy) and "colab" not in texts(copy).lower()
    assert not [e.number for e in exercises if not e.solution or e.solution.strip() in texts(copy)]
    assert texts(copy).count("<summary>Hint") == sum(e.hint for e in exercises)
    assert [c.source for c in shape.code_cells(copy)] == [c.source for c in shape.code_cells(original)]
    assert not any(cell.outputs for cell in shape.code_cells(copy)), "outputs would answer every prediction"


def test_hints_can_go_and_the_originals_are_never_written_over(tmp_path):
    before = [path.read_bytes() for path in CHAPTERS]
    student_copy.main([str(tmp_path), "--no-hints"])
    assert [path.name for path in sorted(tmp_path.iterdir())] == [path.name for path in CHAPTERS]
    assert all("<summary>Hint" not in path.read_text(encoding="utf-8") for path in tmp_path.iterdir())
    with pytest.raises(SystemExit):
        student_copy.main([str(CHAPTERS[0].parent)])
    assert [path.read_bytes() for path in CHAPTERS] == before


def test_a_students_work_is_kept_and_what_an_instructor_left_is_said(tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").mkdir()
    worked_in, chapter = tmp_path / "student" / CHAPTERS[1].name, tmp_path / "notebooks" / CHAPTERS[1].name
    chapter.write_bytes(CHAPTERS[1].read_bytes())
    monkeypatch.setattr(student_copy, "ROOT", tmp_path)
    student_copy.main([])
    student_copy.main([])  # untouched copies are written again
    assert "look again" not in capsys.readouterr().out
    worked_in.write_text(worked_in.read_text(encoding="utf-8").replace("raise NotImplementedError", "return 1"))
    mine = worked_in.read_bytes()
    with pytest.raises(SystemExit):
        student_copy.main([])
    assert worked_in.read_bytes() == mine and worked_in.name in capsys.readouterr().err
    chapter.write_bytes(mine)
    student_copy.main(["--overwrite"])
    assert f"{chapter.name} carries answers: exercise 1, 2" in capsys.readouterr().out
