"""Threads: adapters change only while no other thread is inside a model, so no output mixes two states.

A thread is inside from its call of a module, or of a function named generate, until that call returns. Who is inside
is read off the interpreter's own call stacks: nothing is counted, so nothing is left over by an exception or a Ctrl-C,
and a reader pays one attribute check per layer. The stacks do not say whose call it is, so a change also waits
for calls of other models that are under way.
"""

import _signal  # what `signal` wraps in enums, which would be half of the time of a switch
import functools
import sys
import threading
import time
import weakref
from _signal import SIGINT
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.core.wrappers import unwrap

PATIENCE = 30.0  # seconds that a change waits for threads inside, or a thread for a change, before it is refused
POLL = 0.001  # seconds between two looks at who is still inside
MODULE_CALL = nn.Module.__call__.__code__

_gates: "weakref.WeakKeyDictionary[nn.Module, Gate]" = weakref.WeakKeyDictionary()
_gates_lock = threading.Lock()


class Gate:
    """One per model, shared by its adapted layers: closed while adapters change.

    verbs: held by the verb at work. owner: the thread that closed the gate, which itself passes. inside: the threads
    that were in a model when it was closed, with the outermost of their calls: those calls may finish.
    """

    def __init__(self) -> None:
        self.closed, self.owner, self.inside = False, None, {}
        self.verbs, self.moved = threading.RLock(), threading.Condition()

    def __deepcopy__(self, memo) -> "Gate":  # a copied model has a gate of its own, one for all of its layers
        return memo.setdefault(id(self), Gate())

    def __reduce__(self):
        return Gate, ()

    def wait(self) -> bool:
        """Called where a closed gate was found: waits until it opens. False: this call may go on at once.

        After True the model may have changed: look everything up anew. Raises LoRAError after PATIENCE seconds.
        """
        me, deadline, waited = threading.get_ident(), time.monotonic() + PATIENCE, False
        with self.moved:
            if self.owner == me:
                return False
            while self.closed:
                if me in self.inside and _on_stack(self.inside[me]):
                    return waited  # perhaps one change has passed, and this call was inside when the next began
                waited = True
                if not self.moved.wait(deadline - time.monotonic()):
                    raise LoRAError(f"another thread has been changing the model's adapters for {PATIENCE:g} s: retry")
            return True

    def hook(self, module: nn.Module, arguments) -> None:
        """A forward_pre_hook for modules that are no adapted layers."""
        if self.closed and not torch.compiler.is_compiling():
            self.wait()

    def close(self, doing: str, ctrl_c: "_HeldCtrlC") -> None:
        """Hold new calls up and wait until those under way have returned."""
        deadline = time.monotonic() + PATIENCE
        with self.moved:
            self.closed, self.owner = True, threading.get_ident()
        inside = _inside()
        while inside:
            with self.moved:
                self.inside = inside
                self.moved.notify_all()
            if time.monotonic() > deadline:
                inside = now = None  # or the error's traceback would keep the variables of those calls alive
                raise LoRAError(
                    f"cannot {doing}: another thread has been inside a model for {PATIENCE:g} s (generating?). "
                    "Nothing was changed: wait for that call to return, then try again"
                )
            ctrl_c.deliver()
            time.sleep(POLL)
            now = _inside()
            inside = {thread: call for thread, call in inside.items() if now.get(thread) is call}
        self.inside = {}

    def open(self) -> None:
        with self.moved:
            self.closed, self.owner, self.inside = False, None, {}
            self.moved.notify_all()


def gate_of(model: nn.Module) -> Gate:
    """The gate of this (unwrapped) model; made when it is first asked for."""
    with _gates_lock:
        gate = _gates.get(model)
        if gate is None:
            state = model.__dict__.get("_lorakit")  # a copied model brings its gate along
            gate = _gates[model] = Gate() if state is None else state.gate
        return gate


@contextmanager
def one_verb(model: nn.Module, doing: str) -> Iterator[Gate]:
    """One verb at a time on this model; readers go on. Raises LoRAError after PATIENCE seconds of waiting."""
    gate = gate_of(model)
    if not gate.verbs.acquire(timeout=PATIENCE):
        raise LoRAError(f"cannot {doing}: another thread has been changing this model's adapters for {PATIENCE:g} s")
    try:
        yield gate
    finally:
        gate.verbs.release()


def verb(doing: str) -> Callable:
    """A decorator for functions of a model: `one_verb` around the whole of it."""

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def alone(model: nn.Module, *args, **kwargs):
            with one_verb(unwrap(model), doing):
                return function(model, *args, **kwargs)

        return alone

    return decorate


@contextmanager
def nobody_inside(model: nn.Module, doing: str, new: Iterable[str] = ()) -> Iterator[None]:
    """Within the block no other thread is inside the (unwrapped) model, and Ctrl-C waits until the block's end.

    Calls under way finish first, later ones wait. new: paths of modules that the block adapts for the first time.
    These, and those that modules_to_save names, do not know the gate: calls are held up at the modules above them.
    Raises LoRAError after PATIENCE seconds of waiting, before the block has begun.
    """
    with one_verb(model, doing) as gate:
        if gate.owner == threading.get_ident():  # inside another such block
            yield
            return
        state = model.__dict__.get("_lorakit")
        new = [*new, *(state.originals if state else ())]
        above = {path[:i] for path in new for i, letter in enumerate(path) if letter == "."}
        above |= {""} if new else set()
        hooks = []
        with _HeldCtrlC() as ctrl_c:
            try:
                for path in above:
                    hooks.append(model.get_submodule(path).register_forward_pre_hook(gate.hook, prepend=True))
                gate.close(doing, ctrl_c)
                yield
            finally:
                gate.open()
                for hook in hooks:
                    hook.remove()


def _inside() -> dict[int, FrameType]:
    """Every other thread that is inside a model, with the outermost of its calls.

    Only code is looked at: reading another thread's variables crashes Python 3.11.
    """
    me, found = threading.get_ident(), {}
    for thread, frame in sys._current_frames().items():
        while thread != me and frame is not None:
            if frame.f_code is MODULE_CALL or frame.f_code.co_name == "generate":
                found[thread] = frame
            frame = frame.f_back
    return found


def _on_stack(call: FrameType) -> bool:
    frame = sys._getframe()
    while frame is not None and frame is not call:
        frame = frame.f_back
    return frame is call


class _HeldCtrlC:
    """Holds a Ctrl-C back until the block has ended: half a switch would be a mixture too."""

    def __enter__(self) -> "_HeldCtrlC":
        self.asked, self.handler = None, _signal.getsignal(SIGINT)
        self.holds = threading.current_thread() is threading.main_thread() and callable(self.handler)
        if self.holds:
            _signal.signal(SIGINT, self._hold)
        return self

    def _hold(self, *signal_and_frame) -> None:
        self.asked = signal_and_frame

    def deliver(self) -> None:
        if self.asked:
            asked, self.asked = self.asked, None
            self.handler(*asked)

    def __exit__(self, *error) -> None:
        if self.holds:
            _signal.signal(SIGINT, self.handler)
            self.deliver()
