"""The memory of one real training step, measured: its peak, what lives at the peak, and the course of it."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from lorakit.study.memory import Memory

MARK = "lorakit: a gradient is there"
PHASES = ("forward", "backward", "optimizer")


@dataclass(frozen=True)
class Measured(Memory):
    """A step's memory as it was, and the course of it.

    times, live, grown  seconds since the step began, bytes that live from then on, and how many of them are finished
                        gradients
    phases              name → (begin, end) in seconds
    """

    times: tuple[float, ...] = ()
    live: tuple[int, ...] = ()
    grown: tuple[int, ...] = ()
    phases: dict[str, tuple[float, float]] | None = None


def make_optimizer(model: nn.Module, name: str, lr: float = 0.0) -> torch.optim.Optimizer:
    """The optimizer "adamw", "sgd" or "momentum" over the parameters that train, without weight decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0)
    return torch.optim.SGD(parameters, lr=lr, momentum={"sgd": 0.0, "momentum": 0.9}[name])


def measure_step(model: nn.Module, loss: Callable[[], Tensor], optimizer: str = "adamw") -> Measured:
    """Do two steps at learning rate 0, which move nothing, and measure the second.

    `loss` does the forward pass and returns the scalar to go back from. On a GPU the peak is CUDA's own count
    (`max_memory_allocated`), on the CPU the sum over torch's profiler of memory. The model's train / eval mode counts,
    because of dropout. Gradients that the model had are gone afterwards.
    """
    device = next(model.parameters()).device
    moves = make_optimizer(model, optimizer)
    model.zero_grad(set_to_none=True)
    step_once(loss, moves)  # the first step makes the optimizer's states, and on a GPU the libraries' work space
    kept = kept_for_backward(model, loss)
    weights = count_bytes([*model.parameters(), *model.buffers()])
    states = count_bytes(v for state in moves.state.values() for v in state.values() if isinstance(v, Tensor))
    sizes: list[int] = []

    def mark(parameter: Tensor) -> None:
        with record_function(MARK):
            sizes.append(count_bytes([parameter.grad]))

    hooks = [p.register_post_accumulate_grad_hook(mark) for p in model.parameters() if p.requires_grad]
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler writes two lines to stderr each time
    try:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            before = torch.cuda.memory_allocated(device)
            torch.cuda.reset_peak_memory_stats(device)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            step_once(loss, moves)
        worst = torch.cuda.max_memory_allocated(device) - before if device.type == "cuda" else None
    finally:
        for hook in hooks:
            hook.remove()
    times, live, marks, phases = _course(profiler, device)
    if not live:  # a device whose allocations the profiler does not report: the peak alone
        times, live = [phases["forward"][1]], [worst or 0]
    grown = [sum(size for size, mark in zip(sizes, marks, strict=True) if mark <= time) for time in times]
    place = live.index(max(live))
    at_peak, optimizing = grown[place], times[place] >= phases["optimizer"][0]
    rest = (max(live) if worst is None else worst) - at_peak
    return Measured(
        weights=weights,
        gradients=at_peak,
        optimizer=states,
        activations=0 if optimizing else rest,
        scratch=rest if optimizing else 0,
        all_gradients=sum(sizes),
        kept=kept,
        times=tuple(times),
        live=tuple(weights + states + size for size in live),
        grown=tuple(min(*pair) for pair in zip(grown, live, strict=True)),  # at the end they are let go of
        phases=phases,
    )


def step_once(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Forward, backward, optimizer, as in any training loop, with the gradients let go of at the end."""
    with record_function("forward"):
        value = loss()
    with record_function("backward"):
        value.backward()
    with record_function("optimizer"):
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def kept_for_backward(model: nn.Module, loss: Callable[[], Tensor]) -> int:
    """Bytes of all that the forward pass keeps for the backward pass, each storage once, the model's own left out."""
    held = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in held:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = loss()
    del value  # only now: what is kept must live until the end, or an address could be counted for another tensor
    return sum(found.values())


def count_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the tensors, each storage once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def _course(profiler: profile, device: torch.device):
    """(times, live bytes, times of the gradients, phases) from the profiler's events; times in seconds."""
    events = sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    spans = {e.name(): (e.start_ns(), e.start_ns() + e.duration_ns()) for e in events if e.name() in PHASES}
    start = spans["forward"][0]
    times, live, now = [], [], 0
    for event in events:
        if event.name() == "[memory]" and event.device_type().name.lower() == device.type:
            now += event.nbytes()
            times.append((event.start_ns() - start) / 1e9)
            live.append(now)
    marks = [(event.start_ns() - start) / 1e9 for event in events if event.name() == MARK]
    phases = {name: tuple((t - start) / 1e9 for t in spans[name]) for name in PHASES}
    return times, live, marks, phases
