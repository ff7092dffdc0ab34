"""The likely mistakes of an exercise, each written as the place where it differs from the right answer."""

import inspect
import sys


def mistakes(right, wrong: dict) -> dict:
    """Wrong answers by what is to be said of them, where those given as text, "old → new", are the source of `right`
    (a function or class) with that change; a tuple of texts is as many changes.

        mistakes(train, {"`lr` has no effect": "lr=lr → lr=1e-2"})["`lr` has no effect"](model, …)

    A change is made wherever `old` stands. Raises ValueError where it stands nowhere, so that no mistake is lost when
    `right` is written anew.
    """
    return {words: _changed(right, answer, words) if _is_change(answer) else answer for words, answer in wrong.items()}


def _is_change(answer) -> bool:
    texts = answer if isinstance(answer, tuple) else (answer,)
    return all(isinstance(text, str) and " → " in text for text in texts)


def _changed(right, change: str | tuple[str, ...], words: str):
    source, namespace = inspect.getsource(right), dict(vars(sys.modules[right.__module__]))
    for old, new in (one.split(" → ") for one in ((change,) if isinstance(change, str) else change)):
        if old not in source:
            raise ValueError(f"{words}: {right.__name__} has no {old!r}")
        source = source.replace(old, new)
    exec(compile(source, f"<{right.__name__}: {words}>", "exec"), namespace)
    return namespace[right.__name__]
