"""Every chapter's checks: the right answer passes, and each typical wrong one is met with the words that name it."""

import pytest

from lorakit.chapters.rooms import modules
from lorakit.show.exercises import checks_in

CHAPTERS = modules("checks")
CHECKS = [check for module in CHAPTERS.values() for check in checks_in(module)]
MUTANTS = [pytest.param(c, words, id=f"{c.id}: {words[:50]}") for c in CHECKS for words in c.wrong]


@pytest.fixture(autouse=True)
def short_runs(monkeypatch):
    monkeypatch.setenv("LORAKIT_BUDGET", "fast")  # 06.3 trains what it judges


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.id)
def test_the_right_answer_passes(check):
    outcome = check.judge(check.right)
    assert outcome, outcome.message


def test_every_exercise_has_a_number_of_its_own():
    assert len({check.id for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.id)
def test_at_least_three_typical_wrong_answers_are_known(check):
    assert len(check.wrong) >= 3


@pytest.mark.parametrize(("check", "words"), MUTANTS)
def test_a_typical_wrong_answer_is_met_with_its_name(check, words):
    outcome = check.judge(check.wrong[words])
    assert outcome.state == "wrong"
    assert words in outcome.message


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.id)
def test_an_unfinished_answer_is_not_called_wrong(check):
    def stub(*args, **kwargs):
        raise NotImplementedError

    assert check.judge(...).state == "not done"
    if callable(check.right):
        assert check.judge(stub).state == "not done"


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_chapter_with_checks_has_a_quiz_of_three(name):
    assert len(CHAPTERS[name].quiz.questions) >= 3


QUESTIONS = [(m.quiz.chapter, q) for m in CHAPTERS.values() for q in m.quiz.questions]


@pytest.mark.parametrize(("chapter", "question"), QUESTIONS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_question_has_different_choices_and_explains_each(chapter, question):
    assert len(set(question.choices)) == len(question.choices) == len(question.explanations) >= 2
    assert 0 <= question.answer < len(question.choices) and all(question.explanations)


def lengths(question) -> tuple[int, list[int]]:
    """Letters of the right choice, and of each wrong one."""
    found = [len(choice) for choice in question.choices]
    return found.pop(question.answer), found


def test_no_quiz_is_passed_by_the_look_of_its_answers():
    """The longest, the shortest (by what an eye sees: a seventh) or always the same place: no habit beats guessing."""
    longest = sum(right > 1.15 * max(wrong) for right, wrong in map(lengths, (q for _, q in QUESTIONS)))
    shortest = sum(1.15 * right < min(wrong) for right, wrong in map(lengths, (q for _, q in QUESTIONS)))
    places = [sum(q.answer == place for _, q in QUESTIONS) for place in range(3)]
    assert max(longest, shortest) <= len(QUESTIONS) / 3, f"{longest} longest, {shortest} shortest of {len(QUESTIONS)}"
    assert max(places) <= 0.45 * len(QUESTIONS), f"the right answers stand at {places}"


@pytest.mark.parametrize(("chapter", "question"), QUESTIONS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_wrong_answer_is_about_as_long_as_the_right_one(chapter, question):
    right, wrong = lengths(question)
    assert right <= 1.35 * max(wrong) + 8, question.text
