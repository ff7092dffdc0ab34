"""Scores: kept by themselves, under any name, first choices for good."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_a_strict_check_is_nobodys_attempt(halves, monkeypatch):
    monkeypatch.setenv("LORAKIT_STRICT", "1")
    halves(lambda x: x / 2)
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
    scores.keep_check("98.1", "passed")  # before there is a name
    scores.student("  Ada   Lovelace ")
    assert scores.student() == "Ada Lovelace" and "passed" in scores.kept("exercises")["98.1"]
    assert kept(scores.file_name("Ada Lovelace"))["student"] == "Ada Lovelace" and not kept()
    scores.student("Grace")
    assert not scores.kept("exercises")  # Ada's stays hers
    assert kept(scores.file_name("Grace"))["student"] == "Grace", "a file to hand in, though nothing was tried"
    monkeypatch.setenv("LORAKIT_STUDENT", "Bob")
    assert scores.student() == "Bob"
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
