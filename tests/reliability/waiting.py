"""Start something in a thread, and stop a thread in the middle of a model."""

import threading
from contextlib import contextmanager

from torch import nn

SOON, NEVER = 10.0, 0.15  # seconds: by then it has happened; by then it would have, if nothing held it up


def run(function) -> tuple[threading.Thread, list]:
    """Start it in a thread; what it returns or raises comes into the list."""
    results = []

    def work():
        try:
            results.append(function())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, results


@contextmanager
def paused_at(module: nn.Module, in_thread: list):
    """The first call of `module` by the thread in the list stops until .set(): yields (arrived, go on)."""
    arrived, go_on = threading.Event(), threading.Event()

    def stop(*_):
        if threading.current_thread() in in_thread and not arrived.is_set():
            arrived.set()
            assert go_on.wait(60)

    handle = module.register_forward_pre_hook(stop)
    try:
        yield arrived, go_on
    finally:
        go_on.set()
        handle.remove()
