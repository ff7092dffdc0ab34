"""Threads: adapters change only while no other thread is inside a model, so no output mixes two states.

A thread is inside from its call of a module, or of a function named generate, until that call returns. Who is inside
is read off the interpreter's own call stacks: nothing is counted, so nothing is left over by an exception or a Ctrl-C,
and a reader pays one attribute check per layer. The stacks do not say whose call it is, so a change also waits
for calls of other models that are under way.
"""

import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lorakit.core import compiled
from lorakit.core.ctrl_c import HeldCtrlC
from lorakit.core.errors import LoRAError
from lorakit.core.stacks import calls_under_way, is_under_way
from lorakit.core.wrappers import unwrap

PATIENCE = 30.0  # seconds that a change waits for threads inside, or a thread for a change, before it is refused
POLL = 0.001  # seconds between two looks at who is still inside

_gates: "weakref.WeakKeyDictionary[nn.Module, Gate]" = weakref.WeakKeyDictionary()
_gates_lock = threading.RLock()  # a signal's handler may ask while its thread is asking


class Gate:
    """One per model, shared by its adapted layers: closed while adapters change.

    verbs: held by the verb at work. owner: the thread that closed the gate, which itself passes. inside: the threads
    that were in a model when it was closed, with the outermost of their calls: those calls may finish.
    """

    def __init__(self) -> None:
        self.closed, self.owner, self.inside, self.plain = False, None, {}, False
        self.verbs, self.moved = threading.RLock(), threading.Condition()

    def __deepcopy__(self, memo) -> "Gate":  # a copied model has a gate of its own, one for all of its layers
        return memo.setdefault(id(self), Gate())

    def __reduce__(self):
        return Gate, ()

    def wait(self) -> bool:
        """Called where a closed gate was found: waits until it opens. False: this call may go on at once.

        After True the model may have changed: look everything up anew. Raises LoRAError after PATIENCE seconds.
        """
        # A little longer than the change may wait: where that is refused, the calls behind it go on.
        deadline, waited = time.monotonic() + PATIENCE + 1, False
        with self.moved:
            if self.owner == threading.get_ident():
                return False
            while self.closed:
                if self.lets_pass():
                    return waited  # perhaps one change has passed, and this call was inside when the next began
                waited = True
                if not self.moved.wait(deadline - time.monotonic()):
                    raise LoRAError(f"another thread has been changing the model's adapters for {PATIENCE:g} s: retry")
            return True

    def lets_pass(self) -> bool:
        """Is the thread that asks in a call that was under way when the gate was closed?"""
        call = self.inside.get(threading.get_ident())
        return call is not None and is_under_way(call)

    def hook(self, module: nn.Module, arguments) -> None:
        """A forward_pre_hook for modules that are no adapted layers."""
        if self.closed and not torch.compiler.is_compiling():
            self.wait()

    def close(self, doing: str, ctrl_c: HeldCtrlC, patience: float) -> None:
        """Hold new calls up and wait until those under way have returned."""
        deadline = time.monotonic() + patience
        self.plain = compiled.run_as_plain()
        with self.moved:
            self.closed, self.owner = True, threading.get_ident()
        inside = calls_under_way()
        try:
            while inside:
                with self.moved:
                    self.inside = inside
                    self.moved.notify_all()
                if time.monotonic() > deadline:
                    raise LoRAError(
                        f"cannot {doing}: another thread has been inside a model for {PATIENCE:g} s (generating?). "
                        "Nothing was changed: wait for that call to return, then try again"
                    )
                ctrl_c.deliver()
                time.sleep(POLL)
                now = calls_under_way()
                inside = {thread: call for thread, call in inside.items() if now.get(thread) is call}
        finally:  # an error's traceback would keep the variables of those calls alive
            inside = now = None
        self.inside = {}

    def renew(self) -> None:
        """In a child process, where the threads that held or waited for anything are gone."""
        if self.owner != threading.get_ident():
            self.__init__()

    def open(self) -> None:
        with self.moved:
            self.closed, self.owner, self.inside = False, None, {}
            self.moved.notify_all()
        if self.plain:
            self.plain = False
            compiled.run_as_compiled()


def gate_of(model: nn.Module) -> Gate:
    """The gate of this (unwrapped) model; made when it is first asked for."""
    with _gates_lock:
        gate = _gates.get(model)
        if gate is None:
            state = model.__dict__.get("_lorakit")  # a copied model brings its gate along
            gate = _gates[model] = Gate() if state is None else state.gate
        return gate


@contextmanager
def one_verb(model: nn.Module, doing: str, patience: float | None = None) -> Iterator[tuple[Gate, HeldCtrlC]]:
    """One verb at a time on this model; readers go on, and Ctrl-C waits until the block's end.

    Raises LoRAError after `patience` (PATIENCE) seconds of waiting for another thread's verb.
    """
    deadline = time.monotonic() + (PATIENCE if patience is None else patience)
    with HeldCtrlC() as ctrl_c:
        gate = gate_of(model)
        while not gate.verbs.acquire(timeout=0.05):
            ctrl_c.deliver()
            if gate.lets_pass():  # each would wait for the other
                raise LoRAError(f"cannot {doing} within a call of the model: another thread's change waits for its end")
            if time.monotonic() > deadline:
                raise LoRAError(f"cannot {doing}: another thread has been changing adapters for {PATIENCE:g} s")
        try:
            yield gate, ctrl_c
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
def nobody_inside(
    model: nn.Module, doing: str, new: Iterable[str] = (), patience: float | None = None
) -> Iterator[None]:
    """Within the block no other thread is inside the (unwrapped) model, and Ctrl-C waits until the block's end.

    Calls under way finish first, later ones wait. new: paths of modules that the block adapts for the first time.
    These, and those that modules_to_save names, do not know the gate: calls are held up at the modules above them.
    Raises LoRAError after `patience` (PATIENCE) seconds of waiting, before the block has begun.
    """
    with one_verb(model, doing, patience) as (gate, ctrl_c):
        if gate.owner == threading.get_ident():  # inside another such block
            yield
            return
        state = model.__dict__.get("_lorakit")
        new = [*new, *(state.originals if state else ())]
        above = {path[:i] for path in new for i, letter in enumerate(path) if letter == "."}
        above |= {""} if new else set()
        hooks = []
        try:
            for path in above:
                hooks.append(model.get_submodule(path).register_forward_pre_hook(gate.hook, prepend=True))
            gate.close(doing, ctrl_c, PATIENCE if patience is None else patience)
            yield
        finally:
            gate.open()
            for hook in hooks:
                hook.remove()


def _after_fork() -> None:
    """The child has one thread: whatever the others held or waited for is not there any more."""
    global _gates_lock
    _gates_lock = threading.RLock()
    compiled.renew()
    for gate in list(_gates.values()):
        gate.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
