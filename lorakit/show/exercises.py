"""Exercise checks that name the likely bug.

A check is called with the student's answer: `check_scaling(scaling)`. It never raises for a student: it shows a pass,
or what is probably wrong, and returns an outcome that is true or false. With the environment variable
LORAKIT_STRICT=1 (or `strict=True`) a wrong answer raises AssertionError, which is how the tests run the solutions.

Every check is registered with a right answer and with typical wrong ones, each beside the words that must name it; the
tests run them all, so a check that lets a known bug through fails the suite.
"""

import html
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lorakit.show.scores import keep_check

REGISTRY: dict[str, "Check"] = {}
NOT_DONE = "not done yet: replace the `raise NotImplementedError`, then run this cell again"


class Wrong(AssertionError):
    """Raised inside a check: the answer is wrong, and this is what to tell the student."""


def expect(condition, message: str) -> None:
    """Inside a check: stop with `message`, which names the likely bug, unless `condition` holds."""
    if not condition:
        raise Wrong(message)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a check found: true if passed. It shows itself once, when the check runs."""

    id: str
    title: str
    state: str  # "passed" | "wrong" | "not done"
    message: str

    MARKS = {
        "passed": ("✓", "#00664B", "#E6F5F0"),
        "wrong": ("✗", "#A34700", "#FDF0E6"),
        "not done": ("○", "#555", "#F2F2F2"),
    }

    def __bool__(self) -> bool:
        return self.state == "passed"

    def __str__(self) -> str:
        return f"{self.MARKS[self.state][0]} Exercise {self.id}, {self.title}: {self.message}"

    def _ipython_display_(self):
        """Nothing: the check has already shown the outcome, and Out[…] would repeat it."""


class _Shown:
    """The outcome as a coloured box, or as text where there is no notebook."""

    def __init__(self, outcome: Outcome):
        self.outcome = outcome

    def __repr__(self) -> str:
        return str(self.outcome)

    def _repr_html_(self) -> str:
        mark, ink, paper = self.outcome.MARKS[self.outcome.state]
        style = (
            f"border-left:5px solid {ink};background:{paper};color:#111;padding:8px 12px;font-size:15px;margin:2px 0"
        )
        lines = code_spans(self.outcome.message).replace("\n", "<br>")
        title = html.escape(f"{mark} Exercise {self.outcome.id}, {self.outcome.title}")
        return f'<div style="{style}" role="status"><b style="color:{ink}">{title}</b><br>{lines}</div>'


@dataclass(eq=False)
class Check:
    """One exercise's check; call it with the student's answer. Made by `check` and `check_examples`."""

    id: str
    title: str
    body: Callable[[Any], None]
    right: Any
    wrong: dict[str, Any] = field(repr=False)
    done: str = "right"
    last: Outcome | None = None

    def __post_init__(self):
        if self.id in REGISTRY and REGISTRY[self.id].body.__module__ != self.body.__module__:
            raise ValueError(f"exercise {self.id} is already registered by {REGISTRY[self.id].body.__module__}")
        REGISTRY[self.id] = self

    def __call__(self, answer, *, strict: bool | None = None) -> Outcome:
        strict = os.environ.get("LORAKIT_STRICT") == "1" if strict is None else strict
        outcome = self.judge(answer)
        if strict and not outcome:
            raise AssertionError(str(outcome))
        self.last = outcome
        _display(_Shown(outcome))
        if not strict:  # a test of the solutions is nobody's attempt
            keep_check(self.id, outcome.state)
        return outcome

    def judge(self, answer) -> Outcome:
        """The outcome for `answer`, without showing or remembering it. Never raises for what the answer does."""
        if answer is None or answer is ...:
            return Outcome(self.id, self.title, "not done", "not done yet: put your answer in place of `...`")
        try:
            # The student's global random stream stays where it was, and every call sees the same draws.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                self.body(answer)
        except NotImplementedError:
            return Outcome(self.id, self.title, "not done", NOT_DONE)
        except Wrong as error:
            return Outcome(self.id, self.title, "wrong", str(error))
        except Exception as error:
            return Outcome(self.id, self.title, "wrong", readable_error(error))
        return Outcome(self.id, self.title, "passed", self.done)


def check(id: str, title: str, *, right, wrong: dict[str, Any], done: str = "right"):
    """Decorator: makes a `Check` of a function that looks at the answer and calls `expect(condition, message)`.

    `right` is a correct answer. `wrong` maps words of the message to a wrong answer that must be met with that message;
    both are run by the tests. `done` is said on success; let it add a fact worth knowing.
    """
    return lambda body: Check(id, title, body, right, wrong, done)


def check_examples(id: str, title: str, *, right, inputs=(), wrong: dict[str, Any], done="right", tolerance=1e-5):
    """A `Check` by examples: the answer must agree with `right` on every one of `inputs` (tuples of arguments).

    When it disagrees, the answer is compared with the known `wrong` variants: if it equals one on every input, its key
    is the message, as {"missing the / r": lambda alpha, r: alpha}. `right` may also be a plain value, without inputs.
    `tolerance` is relative for numbers, absolute and relative for tensors.
    """

    def agree(a, b):
        return same(a, b, tolerance)

    def body(answer):
        if not callable(right):
            if not agree(answer, right):
                named = next((message for message, variant in wrong.items() if agree(answer, variant)), None)
                raise Wrong(named or f"not {brief(answer)}: work it out again")
            return
        expect(callable(answer), f"pass the function itself, without calling it: got {brief(answer)}")
        got = [answer(*_copies(args)) for args in inputs]
        expected = [right(*_copies(args)) for args in inputs]
        if all(map(agree, got, expected)):
            return
        for message, variant in wrong.items():
            if all(map(agree, got, (variant(*_copies(args)) for args in inputs))):
                raise Wrong(message)
        args, mine, theirs = next(case for case in zip(inputs, got, expected, strict=True) if not agree(*case[1:]))
        if mine is None:
            raise Wrong("your function returns None: is the `return` missing?")
        raise Wrong(f"for {', '.join(map(brief, args))} expected {brief(theirs)}, got {brief(mine)}")

    body.__module__ = _caller()
    return Check(id, title, body, right, wrong, done)


def same(a, b, tolerance: float = 1e-5) -> bool:
    """Whether two answers agree: tensors in shape and within `tolerance`, numbers within it relatively, else ==."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        if not (isinstance(a, Tensor) and isinstance(b, Tensor)) or a.shape != b.shape:
            return False
        return torch.allclose(a.detach().double(), b.detach().double(), rtol=tolerance, atol=tolerance)
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b or abs(a - b) <= tolerance * max(abs(a), abs(b))
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    try:
        return bool(a == b)
    except Exception:
        return False


def brief(value) -> str:
    """A value in a few characters, tensors by shape."""
    if isinstance(value, Tensor):
        shape = " × ".join(map(str, value.shape))
        return f"a tensor of shape ({shape})" if value.ndim else f"{value.item():.4g}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, torch.nn.Module) or callable(value):
        return getattr(value, "__name__", type(value).__name__)
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def readable_error(error: Exception) -> str:
    """The exception and the student's own line that raised it, in two lines."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if "site-packages" not in f.filename and f"{os.sep}lorakit{os.sep}" not in f.filename]
    where = f"\nin line {theirs[-1].lineno} of your cell: `{theirs[-1].line}`" if theirs and theirs[-1].line else ""
    return f"your code raised {type(error).__name__}: {error}{where}"


def code_spans(text: str) -> str:
    """Escaped HTML in which `code` between backticks is set as code."""
    parts = html.escape(text, quote=False).split("`")
    return "".join(
        f"<code style='background:none;color:inherit;font-size:0.95em'>{part}</code>" if i % 2 else part
        for i, part in enumerate(parts)
    )


def _copies(args: tuple) -> tuple:
    """Fresh tensors for each call, so that an answer that writes into its input spoils nothing."""
    return tuple(a.clone() if isinstance(a, Tensor) else a for a in args)


def _caller() -> str:
    import sys

    return sys._getframe(2).f_globals.get("__name__", "")


def _display(thing) -> None:
    try:
        from IPython import get_ipython
    except ImportError:
        get_ipython = lambda: None  # noqa: E731
    if get_ipython() is None:
        print(thing)
    else:
        from IPython.display import display

        display(thing)
