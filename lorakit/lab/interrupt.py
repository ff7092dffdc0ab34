"""Ctrl-C between two training steps rather than in the middle of one, and a model left as it was found."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class PatientInterrupt:
    """While active, the first Ctrl-C only sets `.asked`; the second raises KeyboardInterrupt at once; more do nothing.

    An optimizer step that is cut in half leaves some matrices updated and others not. Because only one exception
    ever comes, what is put back in an outer `finally` is put back whole. Outside the main thread Python delivers no
    signals, and this does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._raised = False
        self._before = None

    def __enter__(self) -> "PatientInterrupt":
        # A handler that is not Python's own belongs to someone with other plans: leave it alone.
        if threading.current_thread() is threading.main_thread():
            current = signal.getsignal(signal.SIGINT)
            if current is signal.default_int_handler:
                self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, number, frame) -> None:
        again, self.asked = self.asked, True
        if again and not self._raised:
            self._raised = True
            raise KeyboardInterrupt

    def __exit__(self, *error) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


@contextmanager
def left_as_found(model: nn.Module, parameters: dict[str, nn.Parameter]) -> Iterator[None]:
    """Afterwards every module is in its old mode, the caller's random state is back, and no gradient is left."""
    modes = [(module, module.training) for module in model.modules()]
    random_state = torch.get_rng_state()
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    def put_back() -> None:
        for module, training in modes:
            module.training = training
        for parameter in parameters.values():
            parameter.grad = None
        torch.set_rng_state(random_state)
        torch.cuda.set_rng_state_all(on_gpus)

    try:
        yield
    finally:
        try:
            put_back()
        finally:  # again: the one KeyboardInterrupt of a second Ctrl-C may have come in the midst of it
            put_back()
