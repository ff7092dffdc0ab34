"""Every chapter's checks: the right answer passes, and each typical wrong one is met with the words that name it."""

import importlib
import pkgutil

import pytest

import lorakit.show
from lorakit.show.exercises import REGISTRY
from lorakit.show.quiz import QUIZZES

CHAPTERS = [m.name for m in pkgutil.iter_modules(lorakit.show.__path__) if m.name.startswith("checks_")]
for name in CHAPTERS:
    importlib.import_module(f"lorakit.show.{name}")
CHECKS = [c for c in REGISTRY.values() if c.body.__module__.startswith("lorakit.show.checks_")]
MUTANTS = [pytest.param(c, words, id=f"{c.id}: {words[:50]}") for c in CHECKS for words in c.wrong]


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.id)
def test_the_right_answer_passes(check):
    outcome = check.judge(check.right)
    assert outcome, outcome.message


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
    quiz = QUIZZES[name.removeprefix("checks_")]
    assert len(quiz.questions) >= 3
