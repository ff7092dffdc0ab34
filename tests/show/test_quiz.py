"""The quiz as a widget, as a page and as text."""

import pytest

from lorakit.show.quiz import QUIZZES, Question, Quiz, read_quiz


@pytest.fixture
def quiz():
    questions = [
        Question("What is `B` at step 0?", ("zero", "Gaussian"), 0, ("Then B A = 0.", "Then the output would move.")),
        Question("1 < 2?", ("yes", "no", "never"), 0, ("It is.", "Count again.", "Count again.")),
    ]
    yield Quiz("99", questions)
    QUIZZES.pop("99")


def test_every_choice_is_explained(quiz):
    assert quiz.choose(0, 0) == "✓ Right. Then B A = 0."
    assert quiz.choose(0, 1) == "✗ Not quite. Then the output would move."


def test_only_the_first_try_counts(quiz):
    quiz.choose(0, 1)
    quiz.choose(0, 0)
    quiz.choose(1, 0)
    assert quiz.score == 1
    assert quiz.summary() == "1 of 2 right at the first try"


def test_a_click_shows_feedback_and_score(quiz):
    pytest.importorskip("ipywidgets")
    box = quiz.widget.children
    box[2].value = 1  # the first question's buttons
    assert "Not quite" in box[3].value
    assert "1 of 2 answered" in box[-1].value


def test_text_and_page_are_the_same_each_time_and_hold_the_answers_folded(quiz):
    assert str(quiz) == str(quiz) and str(quiz).startswith("Quiz 99\n1. What is")
    page = quiz._repr_html_()
    assert page.count("<details>") == 2 and "✓ <i>zero</i>: Then B A = 0." in page
    assert "1 &lt; 2" in page and ">B</code>" in page
    assert {"text/plain", "text/html"} <= set(quiz._repr_mimebundle_())


def test_mixing_keeps_answer_and_explanations_together_and_favours_no_place(tmp_path):
    choices = "".join(f"- [{'x' if c == 'c' else ' '}] {c}\n  w{c}\n" for c in "abcd")
    (tmp_path / "quiz.md").write_text("".join(f"## question {number}?\n\n{choices}\n" for number in range(400)))
    questions, again = (read_quiz("99", tmp_path / "checks.py").questions for _ in range(2))
    QUIZZES.pop("99")
    assert questions == again
    for q in questions:
        assert q.choices[q.answer] == "c"
        assert all(e == "w" + c for c, e in zip(q.choices, q.explanations, strict=True))
    places = [q.answer for q in questions]
    assert all(60 < places.count(place) < 140 for place in range(4))
