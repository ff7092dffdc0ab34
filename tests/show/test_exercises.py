"""The mechanism of exercise checks, on exercises by examples and one of free form."""

import statistics

import pytest
import torch

from lorakit.show import progress
from lorakit.show.exercises import REGISTRY, Outcome, check_examples, same


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    for name in list(REGISTRY):
        monkeypatch.delitem(REGISTRY, name)
    yield
    REGISTRY.clear()


def scaling_check():
    return check_examples(
        "99.1",
        "the scale of the update",
        right=lambda alpha, r: alpha / r,
        inputs=[(16, 8), (8, 8), (1, 4)],
        wrong={
            "missing the / r": lambda alpha, r: alpha,
            "upside down: it is alpha / r": lambda alpha, r: r / alpha,
            "whole-number division drops": lambda alpha, r: alpha // r,
        },
        done="twice the rank, half the scale",
    )


def product_check():
    """By examples that are drawn. (Right answers and known mistakes: tests/chapters/test_checks.py.)"""
    return check_examples(
        "99.2",
        "the low-rank product",
        right=lambda x, A, B: x @ A.T @ B.T,
        inputs=lambda: [(torch.randn(5, 6), torch.randn(6, 6), torch.randn(6, 6))],
        wrong={},
        formula="B A x",
    )


def test_an_unknown_mistake_is_shown_with_an_example():
    assert scaling_check().judge(lambda alpha, r: alpha / r + 1).message == "for 16, 8 expected 2, got 3"
    words = product_check().judge(lambda x, A, B: x @ A.T @ B.T + 1).message
    assert words.endswith("(6 × 6): the shape is right, but the numbers are not B A x")


def test_stub_and_ellipsis_are_not_done_yet():
    def stub(alpha, r):
        raise NotImplementedError

    it = scaling_check()
    assert it.judge(stub).state == it.judge(...).state == it.judge(None).state == "not done"


def test_a_students_exception_is_reported_and_never_raised():
    outcome = scaling_check().judge(lambda alpha: alpha)
    assert outcome.state == "wrong" and "TypeError" in outcome.message
    named = scaling_check().judge(lambda alpha, r: statistics.median([]))  # raised in Python's own library
    assert "StatisticsError" in named.message and "in line" in named.message and "median([])" in named.message
    assert "without calling it" in scaling_check().judge(2.0).message


def test_an_answer_that_raises_what_the_reference_raises_does_not_pass():
    it = check_examples("99.6", "half", right=lambda x: x / 0, inputs=[(1,)], wrong={})
    assert it.judge(lambda x: x / 0).state == "wrong"


def test_shows_one_line_and_returns_something_true(capsys):
    assert scaling_check()(lambda alpha, r: alpha / r)
    assert capsys.readouterr().out == "✓ Exercise 99.1, the scale of the update: twice the rank, half the scale\n"


def test_strict_raises_for_wrong_and_for_not_done(monkeypatch):
    it = scaling_check()
    monkeypatch.setenv("LORAKIT_STRICT", "1")
    with pytest.raises(AssertionError, match="missing the / r"):
        it(lambda alpha, r: alpha)
    with pytest.raises(AssertionError, match="not done"):
        it(...)
    assert it(it.right)


def test_a_plain_value_is_compared_and_its_slips_named():
    it = check_examples("99.4", "count", right=3072, wrong={"only B was counted": 1536})
    assert it.judge(3072) and it.judge(3072.0)
    assert it.judge(1536).message == "only B was counted"
    assert it.judge(7).message == "not 7: work it out again"


def test_checks_are_deterministic_and_leave_the_random_stream_alone():
    it = product_check()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    it.judge(it.right)
    assert torch.equal(torch.rand(3), expected)


def test_answers_that_write_into_their_input_spoil_nothing():
    x = torch.ones(3)
    it = check_examples("99.5", "double", right=lambda x: 2 * x, inputs=[(x,)], wrong={})
    assert it.judge(lambda x: x.mul_(2))
    assert torch.equal(x, torch.ones(3))


def test_progress_lists_what_passed():
    it = scaling_check()
    product_check()
    it(it.right)
    table = progress()
    assert list(table.loc["99.1"]) == ["the scale of the update", "✓ passed"]
    assert list(table.loc["99.2"]) == ["the low-rank product", "○ not done yet"]
    assert table["state"].iloc[-1].startswith("1 of ")


def test_box_escapes_what_a_student_wrote():
    page = Outcome("99.1", "t", "wrong", "got <b> in `a < b`").html()
    assert "&lt;b&gt; in <code" in page and "a &lt; b</code>" in page


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (torch.ones(2), torch.ones(2), True),
        (torch.ones(2), torch.ones(2, 1), False),
        (torch.ones(1), 1.0, False),
        ((1, torch.ones(2)), [1, torch.ones(2)], True),
        ("a", "b", False),
    ],
)
def test_same_compares_shape_and_value(a, b, equal):
    assert same(a, b) is equal
