"""Start something in a thread, and stop a thread in the middle of a model."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

SOON, NEVER = 10.0, 0.15  # seconds: by then it has happened; by then it would have, if nothing held it up


def run(function) -> tuple[threading.Thread, list]:
    """Start it in a thread; what it returns or raises comes into the list."""
    thread, results = _in_a_thread(function)
    thread.start()
    return thread, results


class Stop:
    """A place in a model where calls of one thread stop: see `stopping_at`."""

    def __init__(self) -> None:
        self.reader, self.arrived, self.go_on = None, threading.Event(), threading.Event()

    def call(self, function) -> tuple[threading.Thread, list]:
        """Start it in a thread, as `run` does, and come back once that has stopped there."""
        self.reader, results = _in_a_thread(function)
        self.reader.start()
        assert self.arrived.wait(SOON)
        return self.reader, results

    def hook(self, *_) -> None:
        if threading.current_thread() is self.reader and not self.arrived.is_set():
            self.arrived.set()
            assert self.go_on.wait(60)


@contextmanager
def stopping_at(module: nn.Module) -> Iterator[Stop]:
    """Within the block, what `.call` starts stops where it first comes to this module, until `.go_on.set()`."""
    stop = Stop()
    handle = module.register_forward_pre_hook(stop.hook)
    try:
        yield stop
    finally:
        stop.go_on.set()
        handle.remove()


def _in_a_thread(function) -> tuple[threading.Thread, list]:
    results = []

    def work():
        try:
            results.append(function())
        except BaseException as error:
            results.append(error)

    return threading.Thread(target=work, daemon=True), results
