"""A class's files of scores, whatever is in them."""

import json

import pytest
from class_scores import Course, collect, course, main, read, stuck, table

from lorakit.show.scores import FORMAT

TODO = Course(("01.1", "01.2"), {"01": {"Q": "a"}})
GOOD = {
    "format": FORMAT,
    "student": "Ada",
    "exercises": {"01.1": {"attempts": 3, "passed": "now", "attempts_until_passed": 2}, "77.7": {"attempts": 1}},
    "quizzes": {"01": {"Q": {"choice": "b", "right": True}, "old": {"choice": "a"}}},
}


def test_a_class_is_collected_from_nested_folders(tmp_path):
    for i, name in enumerate(("Ada", "bob", "")):
        (tmp_path / f"hand-in-{i}").mkdir()
        (tmp_path / f"hand-in-{i}" / "scores.json").write_text(json.dumps(GOOD | {"student": name}))
    students, wrong = collect(tmp_path, TODO)
    assert [s.name for s in students] == ["Ada", "bob", "hand-in-2"] and not wrong
    row = table(students, TODO).iloc[0]
    assert row["01 exercises"] == "1/2" and row["exercises"] == 1
    assert row["01 quiz"] == "0/1"  # the wrong choice, whatever the file says
    assert stuck(students).reset_index().values.tolist() == [["01.1", 3, 3, 2]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "not a file of scores"),
        ({"exercises": []}, "exercises"),
        ({"quizzes": {"01": 3}}, "quizzes"),
        ({"exercises": {"01.1": {"attempts": -1}}}, "attempts"),
        ({"exercises": {"01.1": {"attempts": "9"}}}, "attempts"),
        ({"exercises": {"01.1": {"attempts": 10**30}}}, "attempts"),
        ({"student": ["Ada"]}, "should be a name"),
    ],
)
def test_a_file_that_was_edited_is_named(tmp_path, change, words):
    file = tmp_path / "scores.json"
    file.write_text(json.dumps(GOOD | change))
    with pytest.raises(ValueError, match=words):
        read(file, TODO, tmp_path)


def test_whole_workbooks_without_a_name_go_by_the_folder_above_and_do_not_replace_each_other(tmp_path):
    for where in ("Nick/workbook/scores.json", "Nora/workbook/scores.json", "scores.json", "scores (1).json"):
        file = tmp_path / where
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(GOOD | {"student": ""}))
    (tmp_path / "best student.json").write_text(json.dumps(GOOD | {"student": "Zoe"}))
    students, wrong = collect(tmp_path, TODO)
    assert [s.name for s in students] == ["Nick", "Nora", "scores", "scores (1)", "Zoe"] and not wrong


def test_the_command_prints_the_class_and_writes_it(tmp_path, capsys):
    todo = course()
    id, chapter = todo.exercises[0], list(todo.quizzes)[1]
    question, right = next(iter(todo.quizzes[chapter].items()))
    content = GOOD | {"exercises": {id: {"attempts": 1, "passed": "now"}}}
    content["quizzes"] = {chapter: {question: {"choice": right}}}
    (tmp_path / "scores-ada.json").write_text(json.dumps(content))
    assert main([str(tmp_path), "--json", str(tmp_path / "c.json"), "--csv", str(tmp_path / "c.csv")]) == 0
    assert "Ada" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "c.json").read_text())
    assert row["exercises"] == 1 and row["quiz"] == 1


def test_hand_ins_as_they_come(tmp_path, capsys):
    """Renamed by a platform, with a BOM, a name that forges a row or a formula, sent twice: none is lost in silence."""
    folder = tmp_path / "hand ins 日本"
    folder.mkdir()

    def hand_in(file, student="", at=None, encoding="utf-8"):
        (folder / file).write_text(json.dumps(GOOD | {"student": student, "updated": at}), encoding=encoding)

    hand_in("Bob_12345_assignsubmission_file_scores.json", encoding="utf-8-sig")
    hand_in("forged.json", "=HYPERLINK(0)\x1b[2J\nEve  20\ud800")
    # The times are those of three clocks: 1:00, 5:00 and 3:00 in UTC.
    for at, time in {
        "1": "2026-11-29T10:00:00+0900",
        "3": "2026-11-29T05:00:00+0000",
        "2": "2026-11-28T22:00:00-0500",
    }.items():
        hand_in(f"Ada_{at}_scores-ada.json", "Ada", time)
    hand_in("measured.json")  # lies beside the scores
    (folder / "scores.zip").write_bytes(b"PK")
    (folder / "deep.json").write_text("[" * 100_000)
    students, wrong = collect(folder, TODO)
    assert [s.name for s in students] == ["=HYPERLINK(0)�[2J Eve 20�", "Ada", "Bob_12345_assignsubmission_file"]
    assert students[1].file.name.startswith("Ada_3") and students[1].updated.hour == 5
    assert {file.name for file in wrong} == {
        "scores.zip",
        "deep.json",
        "Ada_1_scores-ada.json",
        "Ada_2_scores-ada.json",
    }
    assert main([str(folder), "--csv", str(tmp_path / "c.csv")]) == 1
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out and "scores.zip" in shown.err and "Ada_1" in shown.err
    assert "\n'=HYPERLINK" in (tmp_path / "c.csv").read_text(encoding="utf-8-sig")


def test_a_folder_without_scores_is_a_failure(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert "no scores below" in capsys.readouterr().err
