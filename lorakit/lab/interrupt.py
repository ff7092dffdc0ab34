"""Ctrl-C between two training steps rather than in the middle of one."""

import signal
import threading


class PatientInterrupt:
    """While active, the first Ctrl-C only sets `.asked`; a second one raises KeyboardInterrupt at once.

    An optimizer step that is cut in half leaves some matrices updated and others not. Outside the main thread
    Python delivers no signals, and this does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before = None

    def __enter__(self) -> "PatientInterrupt":
        # A handler that is not Python's own belongs to someone with other plans: leave it alone.
        if threading.current_thread() is threading.main_thread():
            current = signal.getsignal(signal.SIGINT)
            if current is signal.default_int_handler:
                self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, number, frame) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *error) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
