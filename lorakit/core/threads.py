"""Threads: adapters change only while no other thread is inside the model, so no output mixes two states.

A thread is inside from the moment it calls a method of the model (forward, generate, …), of a module in it, or of
a module around it, until that method returns. Who is inside is read off the interpreter's own call stacks: nothing is
counted, so nothing can be left over by an exception or a Ctrl-C, and a reader pays one attribute check per layer.
"""

import functools
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.core.targets import base_modules
from lorakit.core.wrappers import unwrap

PATIENCE = 30.0  # seconds that a change waits for threads inside, or a thread for a change, before it is refused
POLL = 0.0005  # seconds between two looks at who is still inside

_gates: "weakref.WeakKeyDictionary[nn.Module, Gate]" = weakref.WeakKeyDictionary()
_gates_lock = threading.Lock()


class Gate:
    """One per model, shared by its adapted layers: closed while adapters change.

    verbs: held by the verb at work. owner: the thread that closed the gate, which itself passes. inside: the threads
    that were in the model when it was closed, with the outermost of their calls: those calls may finish.
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
        me, deadline = threading.get_ident(), time.monotonic() + PATIENCE
        with self.moved:
            if self.owner == me:
                return False
            while self.closed:
                if me in self.inside and _on_stack(self.inside[me]):
                    return False
                if not self.moved.wait(deadline - time.monotonic()):
                    raise LoRAError(f"another thread has been changing the model's adapters for {PATIENCE:g} s: retry")
            return True

    def hook(self, module: nn.Module, arguments) -> None:
        """A forward_pre_hook for modules that are no adapted layers."""
        if self.closed and not torch.compiler.is_compiling():
            self.wait()

    def close(self, model: nn.Module, doing: str, ctrl_c: "_HeldCtrlC") -> None:
        """Hold new calls up and wait until those under way have returned."""
        deadline = time.monotonic() + PATIENCE
        modules = functools.cache(lambda: {id(module) for _, module in base_modules(model)})  # listed if need be, once
        with self.moved:
            self.closed, self.owner = True, threading.get_ident()
        inside = _inside(model, modules)
        while inside:
            with self.moved:
                self.inside = inside
                self.moved.notify_all()
            if time.monotonic() > deadline:
                raise LoRAError(
                    f"cannot {doing}: another thread has been inside the model for {PATIENCE:g} s (generating?). "
                    "Nothing was changed: wait for that call to return, then try again"
                )
            ctrl_c.deliver()
            time.sleep(POLL)
            now = _inside(model, modules)
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

    new: paths of modules that the block replaces or adapts for the first time: calls that lead to them are held up at
    the modules above them. Calls under way may finish first. Raises LoRAError after PATIENCE seconds of waiting,
    before the block has begun.
    """
    with one_verb(model, doing) as gate:
        if gate.owner == threading.get_ident():  # inside another such block
            yield
            return
        above = {path[:i] for path in new for i, letter in enumerate(path) if letter == "."} | {""}
        hooks = []
        with _HeldCtrlC() as ctrl_c:
            try:
                for path in above:
                    hooks.append(model.get_submodule(path).register_forward_pre_hook(gate.hook, prepend=True))
                gate.close(model, doing, ctrl_c)
                yield
            finally:
                gate.open()
                for hook in hooks:
                    hook.remove()


def _inside(model: nn.Module, modules: Callable[[], set[int]]) -> dict[int, FrameType]:
    """Every other thread that is inside the model, with the outermost of its calls of it."""
    me, found = threading.get_ident(), {}
    for thread, frame in sys._current_frames().items():
        while thread != me and frame is not None:
            if frame.f_code.co_argcount and frame.f_code.co_varnames[0] == "self":
                module = frame.f_locals.get("self")
                if isinstance(module, nn.Module) and (id(module) in modules() or _contains(module, model)):
                    found[thread] = frame
            frame = frame.f_back
    return found


def _contains(module: nn.Module, model: nn.Module) -> bool:
    return any(part is model for part in module.modules())


def _on_stack(call: FrameType) -> bool:
    frame = sys._getframe()
    while frame is not None and frame is not call:
        frame = frame.f_back
    return frame is call


class _HeldCtrlC:
    """Holds a Ctrl-C back until the block has ended: half a switch would be a mixture too."""

    def __enter__(self) -> "_HeldCtrlC":
        self.asked, self.handler = None, signal.getsignal(signal.SIGINT)
        self.holds = threading.current_thread() is threading.main_thread() and callable(self.handler)
        if self.holds:
            signal.signal(signal.SIGINT, self._hold)
        return self

    def _hold(self, *signal_and_frame) -> None:
        self.asked = signal_and_frame

    def deliver(self) -> None:
        if self.asked:
            asked, self.asked = self.asked, None
            self.handler(*asked)

    def __exit__(self, *error) -> None:
        if self.holds:
            signal.signal(signal.SIGINT, self.handler)
            self.deliver()
