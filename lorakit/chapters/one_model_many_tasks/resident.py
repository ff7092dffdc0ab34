"""A thousand adapters in one model: what they occupy, what one more takes to bring in, what a switch takes."""

import gc
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median

import torch
from torch import nn

import lorakit as lk
from lorakit.core.state import state_of

CONFIG = lk.LoRAConfig(r=4, alpha=8, targets=("mlp",))  # as the style adapters have it


def fill(model: nn.Module, count: int, config: lk.LoRAConfig = CONFIG) -> list[str]:
    """Inject adapters "a0", "a1", … until the model has `count` of them, each with A and B of its own; their names.

    B is drawn too (standard deviation 0.02), so that every adapter answers differently.
    """
    names = [f"a{number}" for number in range(count)]
    there = set(lk.adapter_names(model))
    for number, name in enumerate(names):
        if name not in there:
            lk.inject(model, config, name=name, seed=number)
            generator = torch.Generator().manual_seed(number)
            for layer in state_of(model).layers.values():
                B = layer.active.lora_B.data
                B.copy_(0.02 * torch.randn(B.shape, generator=generator))
    return names


def adapter_bytes(model: nn.Module, name: str) -> int:
    """Bytes of one adapter's A and B, counted on the real tensors."""
    found = [layer.adapters[name] for layer in state_of(model).layers.values() if name in layer.adapters]
    return sum(p.numel() * p.element_size() for adapter in found for p in adapter.parameters())


def occupied(device: str = "cpu") -> int | None:
    """Bytes in use: of a GPU's memory by tensors, else of the machine's by this process; None where nobody tells."""
    if torch.device(device).type == "cuda":
        return torch.cuda.memory_allocated(device)
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])  # Linux: the resident ones
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def resident(
    model: nn.Module, counts: Sequence[int], config: lk.LoRAConfig = CONFIG, switches: int = 300
) -> list[dict]:
    """Inject adapters up to each of `counts` (rising) and measure at each; one row of plain data for every count.

    "tensors": bytes of all A and B; "process": bytes that the process has grown by since the first (or None);
    "inject_s": seconds for all of them so far; "last_ms": for the last one; "switch_us": one set_adapter, the median.
    """
    device = str(next(model.parameters()).device)
    start, rows, spent = occupied(device), [], 0.0
    for count in counts:
        began = time.perf_counter()
        fill(model, count - 1, config)
        last = time.perf_counter()
        names = fill(model, count, config)
        ended = time.perf_counter()
        spent += ended - began
        rows.append(
            {
                "adapters": count,
                "tensors": sum(adapter_bytes(model, name) for name in names),
                "process": None if start is None else occupied(device) - start,
                "inject_s": spent,
                "last_ms": 1e3 * (ended - last),
                "switch_us": 1e6 * switch_seconds(model, names, switches),
            }
        )
    return rows


def switch_seconds(model: nn.Module, names: Sequence[str], switches: int = 300, seed: int = 0) -> float:
    """Median seconds of one set_adapter, over `switches` jumps between random ones of `names`."""
    order = torch.randint(len(names), (switches,), generator=torch.Generator().manual_seed(seed)).tolist()
    return median_seconds(lambda name: lk.set_adapter(model, name), [names[i] for i in order])


def median_seconds(action: Callable, arguments: Iterable) -> float:
    """Median seconds of `action(argument)` over the arguments."""
    times = []
    for argument in arguments:
        began = time.perf_counter()
        action(argument)
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()  # or the time is that of asking for the work
        times.append(time.perf_counter() - began)
    return median(times)
