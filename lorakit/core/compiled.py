"""Compiled code knows no gate: while one is closed, it runs as plain code, which does."""

import sys
import threading

import torch

_lock = threading.RLock()
_closed = 0
_stance = None


def run_as_plain() -> bool:
    """From now on. False where nothing has been compiled yet, and nothing was done."""
    global _closed, _stance
    compiler = sys.modules.get("torch._dynamo.eval_frame")  # transformers imports it without compiling anything
    backends = getattr(compiler, "cached_backends", {None: True})
    if compiler is None or not any(backends.values()):  # asking first spares a tenth of a switch
        return False
    with _lock:
        _closed += 1
        if _closed == 1:
            _stance = torch.compiler.set_stance("force_eager")  # for the whole process, at once
    return True


def run_as_compiled() -> None:
    """What `run_as_plain` did, taken back."""
    global _closed, _stance
    with _lock:
        _closed -= 1
        if _closed == 0:
            stance, _stance = _stance, None
            stance.__exit__(None, None, None)


def renew() -> None:
    """In a child process, where the threads that had gates closed are gone."""
    global _lock, _closed
    _lock = threading.RLock()
    if _closed:
        _closed = 1
        run_as_compiled()
