"""Ctrl-C between two changes rather than in the middle of one."""

import _signal  # what `signal` wraps in enums, which would be half of the time of a switch
import threading
from _signal import SIGINT


class HeldCtrlC:
    """Holds a Ctrl-C back until the block has ended: half a switch would be a mixture too.

    Outside the main thread, where Python delivers no signals, and where nobody handles Ctrl-C, it does nothing.
    """

    def __enter__(self) -> "HeldCtrlC":
        self.asked, self.handler, self.holds = None, _signal.getsignal(SIGINT), False
        if threading.current_thread() is threading.main_thread():
            self._hold_back()
        return self

    def _hold_back(self) -> None:
        if callable(self.handler):
            self.holds = True
            _signal.signal(SIGINT, self._held)

    def _held(self, *signal_and_frame) -> None:
        self.asked = signal_and_frame

    def deliver(self) -> None:
        """Let a Ctrl-C that has come by now through, as at a place where nothing is half done."""
        if self.asked:
            asked, self.asked, self.holds = self.asked, None, False
            _signal.signal(SIGINT, self.handler)
            try:
                self.handler(*asked)
                outer = getattr(self.handler, "__self__", None)
                if isinstance(outer, HeldCtrlC):  # a block inside another
                    outer.deliver()
            finally:
                self.handler = _signal.getsignal(SIGINT)  # which the handler may have put in its own place
                self._hold_back()

    def __exit__(self, *error) -> None:
        if self.holds:
            _signal.signal(SIGINT, self.handler)
            if self.asked:
                self.handler(*self.asked)
