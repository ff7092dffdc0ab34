"""How much longer does one model take than another? Jobs timed in turns, as ratios beside a noise floor."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.study.paired_times import AGAIN, Comparison, Latency

MOST_ROUNDS = 200


@dataclass(frozen=True)
class Job:
    """What is timed: `run`; `after` puts things back, untimed; `units`, such as tokens, share the time of one run."""

    run: Callable[[], object]
    after: Callable[[], object] | None = None
    units: int = 1


def compare(
    jobs: Mapping[str, Callable[[], object] | Job],
    repeats: int = 20,
    warmup: int = 2,
    device: str | torch.device = "cpu",
    seconds: float | None = None,
    clock: Callable[[], float] | None = None,
) -> Comparison:
    """Time the jobs in turns, the first one, the base, twice in each round.

    repeats  rounds, rounded up to an even number; each round runs every job once. `warmup` rounds before are dropped.
    seconds  go on after `repeats` rounds until this much time has passed (at most 200 rounds)
    device   on a GPU time is taken with CUDA events, with an empty queue before each job
    clock    seconds, instead of the CPU's `time.perf_counter`

    The order changes from round to round, and every second round is the one before backwards: each pair of jobs is as
    often in one order as in the other, so that steady drift cancels in the median. Raises LoRAError for fewer than 2
    repeats or no jobs.
    """
    if not jobs:
        raise LoRAError("there is nothing to compare: give at least one job, the base first")
    if repeats < 2 or warmup < 0:
        raise LoRAError(f"repeats must be at least 2 and warmup at least 0, got {repeats} and {warmup}")
    base = next(iter(jobs))
    again = f"{base}, {AGAIN}"
    if again in jobs:
        raise LoRAError(f"the name {again!r} is taken by the noise floor: call that job something else")
    every = {name: job if isinstance(job, Job) else Job(job) for name, job in {**jobs, again: jobs[base]}.items()}
    take = partial(_seconds, device=torch.device(device), clock=clock or time.perf_counter)
    names = list(every)
    for _ in range(warmup):
        for name in names:
            take(every[name])
    times: dict[str, list[float]] = {name: [] for name in names}
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()  # or one unlucky job pays for all
    try:
        spent, done = 0.0, 0
        while done < repeats or done % 2 or (seconds is not None and spent < seconds and done < MOST_ROUNDS):
            for name in turn(names, done):
                took = take(every[name])
                spent += took
                times[name].append(took / every[name].units)
            done += 1
    finally:
        if collecting:
            gc.enable()
    ratios = {name: tuple(a / b for a, b in zip(times[name], times[base], strict=True)) for name in names}
    return Comparison(base, {name: Latency(tuple(times[name]), ratios[name]) for name in names}, str(device))


def turn(names: list[str], number: int) -> list[str]:
    """The order of round `number`: A B C, C B A, B C A, A C B, C A B, …"""
    start = number // 2 % len(names)
    order = names[start:] + names[:start]
    return order[::-1] if number % 2 else order


def _seconds(job: Job, device: torch.device, clock: Callable[[], float]) -> float:
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        with torch.cuda.device(device):
            start.record()
            job.run()
            end.record()
        torch.cuda.synchronize(device)
        took = start.elapsed_time(end) / 1e3
    else:
        begin = clock()
        job.run()
        took = clock() - begin
    if job.after is not None:
        job.after()
    return took


def prefill(model: nn.Module, batch: int, length: int, seed: int = 0) -> Job:
    """Read `batch` rows of `length` random tokens and give the logits of the last, with a cache: the first token.

    Raises LoRAError where the model's context is too short.
    """
    ids = _tokens(model, batch, length, length, seed)  # (batch, length)

    @torch.no_grad()
    def run():
        return model(input_ids=ids, use_cache=True, logits_to_keep=1)

    return Job(run)


def decode(model: nn.Module, batch: int, length: int, tokens: int = 8, seed: int = 0) -> Job:
    """Write `tokens` tokens, one after the other, behind `length` that are in the cache already; seconds per token.

    After each run the cache is cropped to where it was, so that every run does the same. Raises LoRAError where the
    model's context is too short.
    """
    if tokens < 1:
        raise LoRAError(f"tokens must be at least 1, got {tokens}")
    ids = _tokens(model, batch, length, length + tokens, seed)
    with torch.no_grad():
        cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
    one = ids[:, -1:]  # (batch, 1)

    @torch.no_grad()
    def run():
        for _ in range(tokens):
            model(input_ids=one, past_key_values=cache, use_cache=True, logits_to_keep=1)

    return Job(run, after=lambda: cache.crop(-tokens), units=tokens)


def _tokens(model: nn.Module, batch: int, length: int, needed: int, seed: int) -> torch.Tensor:
    if batch < 1 or length < 1:
        raise LoRAError(f"batch and length must be at least 1, got {batch} and {length}")
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and needed > context:
        raise LoRAError(f"{needed} tokens do not fit into the model's context of {context}: take a shorter length")
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(model.config.vocab_size, (batch, length), generator=generator)
    return ids.to(next(model.parameters()).device)
