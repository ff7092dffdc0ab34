"""Scores: kept by themselves, under any name, first choices for good; and a class's files, whatever is in them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorakit.chapters.class_scores import Course, collect, course, main, read, rows, stuck
from lorakit.lab import workbook
from lorakit.show import scores
from lorakit.show.exercises import REGISTRY, check_examples
from lorakit.show.quiz import QUIZZES, Question, Quiz


@pytest.fixture
def halves():
    yield check_examples("98.1", "halves", right=lambda x: x / 2, inputs=[(4,)], wrong={"doubled": lambda x: 2 * x})
    REGISTRY.pop("98.1")


@pytest.fixture
def quiz():
    yield Quiz("98", [Question("Two?", ("2", "3"), 0, ("yes", "no")), Question("Four?", ("5", "4"), 1, ("no", "yes"))])
    QUIZZES.pop("98")


def kept(name="scores.json"):
    return workbook.read(name)


def test_attempts_count_until_an_exercise_is_passed(halves):
    halves(...)
    assert kept() == {}
    halves(lambda x: 2 * x)
    halves(lambda x: x / 2)
    halves(lambda x: 2 * x)
    entry = kept()["exercises"]["98.1"]
    assert entry["attempts"] == 3 and entry["attempts_until_passed"] == 2 and "passed" in entry


def test_a_strict_check_is_nobodys_attempt(halves):
    halves(lambda x: x / 2, strict=True)
    assert kept() == {}


def test_the_first_choice_counts_also_after_a_restart(quiz):
    right = quiz.questions[0].answer
    quiz.choose(0, 1 - right)
    again = Quiz("98", [Question("Two?", ("2", "3"), 0, ("yes", "no")), quiz.questions[1]])
    again.recall()
    assert again.first == {0: 1 - right}
    again.choose(0, right)
    assert again.score == 0 and not kept()["quizzes"]["98"]["Two?"]["right"]


def test_a_question_that_has_changed_is_asked_anew(quiz):
    quiz.choose(0, 0)
    other = Quiz("98", [Question("Two or three?", ("2", "3"), 0, ("yes", "no"))])
    other.recall()
    assert other.first == {}


def test_a_name_is_kept_for_all_notebooks_and_the_environment_comes_first(monkeypatch):
    assert scores.student() == ""
    scores.student("  Ada   Lovelace ")
    assert scores.student() == "Ada Lovelace"
    monkeypatch.setenv("LORAKIT_STUDENT", "Grace")
    assert scores.student() == "Grace"
    with pytest.raises(ValueError, match="a letter or a digit"):
        scores.student(" .. ")


@given(st.text(min_size=1, max_size=300))
def test_every_name_has_a_safe_file_of_its_own(name):
    file = scores.file_name(name)
    assert len(file) < 64 and file.isascii() and set(file[:-5]) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert file != scores.file_name(name + "x") and file.startswith("scores-")


def test_a_folder_that_cannot_be_written_warns_and_the_check_still_judges(halves, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LORAKIT_WORKBOOK", str(tmp_path / "file" / "w"))
    with pytest.warns(UserWarning, match="cannot be written"):
        assert halves(lambda x: x / 2)


TODO = Course(("01.1", "01.2"), {"01": {"Q": "a"}})
GOOD = {
    "format": scores.FORMAT,
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
    row = rows(students, TODO)[0]
    assert row["01 exercises"] == "1/2" and row["exercises"] == 1
    assert row["01 quiz"] == "0/1"  # the wrong choice, whatever the file says
    assert stuck(students, TODO) == [("01.1", 3, 3, 2)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "not a file of scores"),
        ({"exercises": []}, "exercises"),
        ({"quizzes": {"01": 3}}, "quizzes"),
        ({"exercises": {"01.1": {"attempts": -1}}}, "attempts"),
        ({"exercises": {"01.1": {"attempts": "9"}}}, "attempts"),
    ],
)
def test_a_file_that_was_edited_is_named(tmp_path, change, words):
    file = tmp_path / "scores.json"
    file.write_text(json.dumps(GOOD | change))
    with pytest.raises(ValueError, match=words):
        read(file, TODO)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["01", "01.1", "Q", "attempts", "choice", "passed"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(JSON, JSON, JSON)
def test_no_content_crashes_the_reader(tmp_path_factory, student, exercises, quizzes):
    folder = tmp_path_factory.mktemp("class")
    content = {"format": scores.FORMAT, "student": student, "exercises": exercises, "quizzes": quizzes}
    (folder / "scores.json").write_text(json.dumps(content))
    (folder / "scores-half.json").write_text('{"format": ')
    students, wrong = collect(folder, TODO)
    assert len(students) + len(wrong) == 2
    rows(students, TODO), stuck(students, TODO)


def test_the_command_prints_the_class_and_writes_it(tmp_path, capsys):
    todo = course()
    id, chapter = todo.exercises[0], todo.chapters[1]
    question, right = next(iter(todo.quizzes[chapter].items()))
    content = GOOD | {"exercises": {id: {"attempts": 1, "passed": "now"}}}
    content["quizzes"] = {chapter: {question: {"choice": right}}}
    (tmp_path / "scores-ada.json").write_text(json.dumps(content))
    assert main([str(tmp_path), "--json", str(tmp_path / "c.json"), "--csv", str(tmp_path / "c.csv")]) == 0
    assert "Ada" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "c.json").read_text())
    assert row["exercises"] == 1 and row["quiz"] == 1
    (tmp_path / "scores-bad.json").write_text("?")
    assert main([str(tmp_path)]) == 1
    assert "scores-bad.json" in capsys.readouterr().err
