"""Exercise checks that name the likely bug.

A check is called with the student's answer: `check_scaling(scaling)`. It never raises for a student: it shows a pass,
or what is probably wrong, and returns an outcome that is true or false. With the environment variable
LORAKIT_STRICT=1 a wrong answer raises AssertionError, which is how the tests run the solutions.

Every check is registered with a right answer and with typical wrong ones, each beside the words that must name it; the
tests run them all, so a check that lets a known bug through fails the suite.
"""

import copy
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lorakit.show.box import box
from lorakit.show.mistakes import mistakes
from lorakit.show.my_lora import PARTS, keep_part, not_kept_along
from lorakit.show.scores import keep_check

REGISTRY: dict[str, "Check"] = {}  # of the chapters imported in this notebook, by the exercise's number
NOTHING = "your function returns None: is the `return` missing?"
STUB = "not done yet: replace the `raise NotImplementedError`, then run this cell again"


class Wrong(AssertionError):
    """Raised inside a check: the answer is wrong, and this is what to tell the student."""


def expect(condition, message: str) -> None:
    """Inside a check: stop with `message`, which names the likely bug, unless `condition` holds."""
    if not condition:
        raise Wrong(message)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a check found: true if passed. The check shows it, so that as a cell's last line it shows nothing more."""

    id: str
    title: str
    state: str  # "passed" | "wrong" | "not done"
    message: str

    def __bool__(self) -> bool:
        return self.state == "passed"

    @property
    def mark(self) -> str:
        return {"passed": "✓", "wrong": "✗"}.get(self.state, "○")

    def __str__(self) -> str:
        return f"{self.mark} Exercise {self.id}, {self.title}: {self.message}"

    def html(self) -> str:
        return box(self.mark, self.message, title=f"{self.mark} Exercise {self.id}, {self.title}")

    def show(self) -> None:
        """A coloured box in a notebook, a line elsewhere."""
        if "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
            from IPython.display import display

            display({"text/plain": str(self), "text/html": self.html()}, raw=True)
        else:
            print(self)

    def _ipython_display_(self) -> None:
        pass


@dataclass(eq=False)
class Check:
    """One exercise's check; call it with the student's answer. Made by `check` and `check_examples`."""

    id: str
    title: str
    body: Callable[[Any], None]
    right: Any
    wrong: dict[str, Any]
    done: str = "right"
    last: Outcome | None = None

    def __post_init__(self):
        REGISTRY[self.id] = self

    def __call__(self, answer) -> Outcome:
        outcome, strict = self.judge(answer), os.environ.get("LORAKIT_STRICT") == "1"
        if strict and not outcome:
            raise AssertionError(str(outcome))
        self.last = outcome
        outcome.show()
        if not strict:  # a test of the solutions is nobody's attempt
            keep_check(self.id, outcome.state)
            if outcome:
                for part in _parts(answer):
                    keep_part(part)
        return outcome

    def judge(self, answer) -> Outcome:
        """The outcome for `answer`, without showing or remembering it. Never raises for what the answer does."""
        if answer is None or answer is ...:
            return Outcome(self.id, self.title, "not done", "not done yet: put your answer in place of `...`")
        state, message = judged(self.body, answer)
        for part in _parts(answer) if state == "passed" else ():
            if missing := not_kept_along(part):
                words = f"`{missing[0]}` is not in your library, where {part.__name__} alone is kept"
                state, message = "wrong", f"right here, but {words}: define it inside, or do without"
        return Outcome(self.id, self.title, state, message or self.done)


def _parts(answer) -> list:
    """What of an answer goes into workbook/my_lora.py."""
    parts = answer if isinstance(answer, tuple) else (answer,)
    return [part for part in parts if getattr(part, "__name__", "") in PARTS]


def judged(body: Callable[[Any], None], answer) -> tuple[str, str]:
    """ "passed", "wrong" or "not done", and what to say of it; "" of a pass. Never raises for what the answer does."""
    try:
        # The student's global random stream stays where it was, and every call sees the same draws.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            body(answer)
    except NotImplementedError:
        return "not done", STUB
    except Wrong as error:
        return "wrong", str(error)
    except Exception as error:
        return "wrong", readable_error(error)
    return "passed", ""


def checks_in(module: ModuleType) -> list[Check]:
    """The checks that a chapter's file defines."""
    return [value for value in vars(module).values() if isinstance(value, Check)]


def check(id: str, title: str, *, right, wrong: dict[str, Any], done: str = "right"):
    """Decorator: makes a `Check` of a function that looks at the answer and calls `expect(condition, message)`.

    `right` is a correct answer. `wrong` maps words of the message to a wrong answer that must be met with that message,
    or to where it differs from `right`, "old → new" (see `mistakes`); both are run by the tests. `done` is said on
    success; let it add a fact worth knowing.
    """
    return lambda body: Check(id, title, body, right, mistakes(right, wrong), done)


def check_examples(
    id: str,
    title: str,
    *,
    right,
    inputs: Sequence[tuple] | Callable[[], Sequence[tuple]] = (),
    wrong: dict[str, Any],
    done: str = "right",
    tolerance: float = 1e-5,
    formula: str = "",
    seen: Callable[[Callable], Callable] = lambda answer: answer,
    also: Callable[[Any], None] | None = None,
):
    """A `Check` by examples: the answer must agree with `right` on every one of `inputs` (tuples of arguments).

    When it disagrees, the answer is compared with the known `wrong` variants: if it does the same as one on every
    input, errors included, its key is the message, as {"missing the / r": lambda alpha, r: alpha}. `right` may also be
    a plain value, without inputs.

    inputs     or a function that draws them: it is called under a fixed seed
    tolerance  relative for numbers, absolute and relative for tensors
    formula    is named where only the numbers of a tensor are wrong, and no variant explains them
    seen       makes of an answer the function that is compared, where several answers are right
    also       is called with an answer that agrees, to `expect` what values do not show, such as its cost

    `right` returns on every input: where an answer is to raise, write a `check` that says so.
    """
    wrong = mistakes(right, wrong)

    def body(answer):
        if callable(right):
            expect(callable(answer), f"pass the function itself, without calling it: got {brief(answer)}")
            slips = {words: seen(slip) for words, slip in wrong.items()}
            compare(seen(answer), seen(right), inputs() if callable(inputs) else inputs, slips, tolerance, formula)
        elif not same(answer, right, tolerance):
            named = next((message for message, variant in wrong.items() if same(answer, variant, tolerance)), None)
            raise Wrong(named or f"not {brief(answer)}: work it out again")
        if also:
            also(answer)

    return Check(id, title, body, right, wrong, done)


def compare(answer: Callable, right: Callable, inputs: Sequence[tuple], wrong: dict, tolerance: float, formula: str):
    """Raise Wrong, or the answer's own error, unless it agrees with `right` on all inputs (see `check_examples`)."""

    def agree(mine, theirs):
        return repr(mine) == repr(theirs) if isinstance(mine, Exception) else same(mine, theirs, tolerance)

    got, expected = _results(answer, inputs), [right(*copy.deepcopy(args)) for args in inputs]
    if all(map(agree, got, expected)):
        return
    for message, variant in wrong.items():
        if all(map(agree, got, _results(variant, inputs))):
            raise Wrong(message)
    args, mine, theirs = next(case for case in zip(inputs, got, expected, strict=True) if not agree(*case[1:]))
    if isinstance(mine, Exception):
        raise mine
    expect(mine is not None, NOTHING)
    given = ", ".join(map(brief, args))
    if isinstance(mine, Tensor) and isinstance(theirs, Tensor) and mine.shape == theirs.shape:
        raise Wrong(f"for {given}: the shape is right, but the numbers are not{f' {formula}' if formula else ''}")
    raise Wrong(f"for {given} expected {brief(theirs)}, got {brief(mine)}")


def _results(function: Callable, inputs: Sequence[tuple]) -> list:
    """What the function returns for each input, or the error that it raises."""
    found = []
    for args in inputs:
        try:
            found.append(function(*copy.deepcopy(args)))  # a copy: an answer may write into its input
        except NotImplementedError:
            raise
        except Exception as error:
            found.append(error)
    return found


def same(a, b, tolerance: float = 1e-5) -> bool:
    """Whether two answers agree: tensors in shape and within `tolerance`, numbers within it relatively, else ==.

    A tensor without dimensions is a number.
    """
    a, b = (x.item() if isinstance(x, Tensor) and x.ndim == 0 else x for x in (a, b))
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
    text = repr(value).replace("\n", "")  # a list of modules has many lines
    return text if len(text) <= 60 else text[:57] + "..."


def readable_error(error: Exception) -> str:
    """The exception and the student's own line that raised it, in two lines."""
    frames = traceback.extract_tb(error.__traceback__)
    others = ("site-packages", f"{os.sep}lorakit{os.sep}", os.path.dirname(os.__file__))  # the last: Python's own
    theirs = [f for f in frames if not any(place in f.filename for place in others)]
    where = f"\nin line {theirs[-1].lineno} of your cell: `{theirs[-1].line}`" if theirs and theirs[-1].line else ""
    return f"your code raised {type(error).__name__}: {error}{where}"
