"""How much longer does one model take than another? Jobs timed in turns, as ratios beside a noise floor."""

import gc
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles

import torch
from torch import nn

MOST_ROUNDS = 200


@dataclass(frozen=True)
class Job:
    """What is timed: `run`; `after` puts things back, untimed; `units`, such as tokens, share the time of one run."""

    run: Callable[[], object]
    after: Callable[[], object] | None = None
    units: int = 1


@dataclass(frozen=True)
class Latency:
    """One job: seconds per unit in every round, and each over the base's in the same round."""

    times: tuple[float, ...]
    ratios: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds per unit."""
        return median(self.times)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Seconds per unit: between them lies the middle half of the rounds."""
        first, _, third = quantiles(self.times, n=4, method="inclusive")
        return first, third

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios to the base: drift, which slows both of a pair, is not in it."""
        return median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true median ratio lies, with a confidence of 95 %; with fewer than 8 rounds all that was seen.

        From ranks alone (the sign test, in its normal approximation), so that no outlier moves it.
        """
        ordered, n = sorted(self.ratios), len(self.ratios)
        cut = max(math.floor(n / 2 - 0.98 * math.sqrt(n)), 0)
        return ordered[cut], ordered[n - 1 - cut]


@dataclass(frozen=True)
class Comparison:
    """All jobs by name: the base first and, last, "<base>, again" for the noise floor. Prints as a table."""

    base: str
    jobs: dict[str, Latency]
    device: str = "cpu"

    @property
    def again(self) -> Latency:
        return self.jobs[f"{self.base}, again"]

    @property
    def noise(self) -> float:
        """The noise floor: how far from 1 the base's ratio to itself may lie, at either end of its interval."""
        low, high = self.again.interval
        return max(high - 1, 1 - low, 0.0)

    def verdict(self, name: str) -> str:
        """ "slower" or "faster" than the base where the whole interval lies beyond the noise floor, else "noise"."""
        low, high = self.jobs[name].interval
        if low > 1 + self.noise:
            return "slower"
        return "faster" if high < 1 - self.noise else "noise"

    def table(self):
        """A DataFrame with a row for each job: its median and quartiles in ms; by how many % it is slower than the
        base, within which interval; the verdict."""
        import pandas as pd  # here: `make gpu` times jobs on machines that have no pandas

        columns = ["ms", "25 %", "75 %", "slower by %", "from", "to", "verdict"]
        rows = {
            name: [1e3 * t for t in (job.median, *job.quartiles)]
            + [100 * (ratio - 1) for ratio in (job.ratio, *job.interval)]
            + [self.verdict(name)]
            for name, job in self.jobs.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(2)

    def __str__(self) -> str:
        floor = f"noise floor {self.noise:.1%}, {len(self.again.times)} rounds on {self.device}"
        return f"{self.table().to_string()}\n{floor}"

    __repr__ = __str__


def compare(
    jobs: Mapping[str, Callable[[], object] | Job],
    repeats: int = 20,
    warmup: int = 2,
    device: str | torch.device = "cpu",
    seconds: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Time the jobs in turns, the first one, the base, twice in each round.

    repeats  rounds, rounded up to an even number; each round runs every job once. `warmup` rounds before are dropped.
    seconds  go on after `repeats` rounds until this much time has passed (at most 200 rounds)
    device   on a GPU time is taken with CUDA events, with an empty queue before each job
    clock    on the CPU: seconds

    The order is shuffled, so that no job always pays for what one other leaves behind (caches, memory given back).
    Every second round is the one before backwards: each pair of jobs is as often in one order as in the other, so that
    steady drift cancels in the median.
    """
    base, device = next(iter(jobs)), torch.device(device)
    every = {name: job if isinstance(job, Job) else Job(job) for name, job in jobs.items()}
    every[f"{base}, again"] = every[base]
    names = list(every)
    for _ in range(warmup):
        for name in names:
            _seconds(every[name], device, clock)
    times: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.disable()  # or one unlucky job pays for all
    try:
        spent, done = 0.0, 0
        while done < repeats or done % 2 or (seconds is not None and spent < seconds and done < MOST_ROUNDS):
            order = random.Random(done // 2).sample(names, len(names))
            for name in order[::-1] if done % 2 else order:
                took = _seconds(every[name], device, clock)
                spent += took
                times[name].append(took / every[name].units)
            done += 1
    finally:
        gc.enable()
    ratios = {name: tuple(a / b for a, b in zip(times[name], times[base], strict=True)) for name in names}
    return Comparison(base, {name: Latency(tuple(times[name]), ratios[name]) for name in names}, str(device))


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


def prefill(model: nn.Module, batch: int, length: int) -> Job:
    """Read `batch` rows of `length` random tokens and give the logits of the last, with a cache: the first token."""
    ids = _tokens(model, batch, length)  # (batch, length)

    @torch.no_grad()
    def run():
        return model(input_ids=ids, use_cache=True, logits_to_keep=1)

    return Job(run)


def decode(model: nn.Module, batch: int, length: int, tokens: int = 8) -> Job:
    """Write `tokens` tokens, one after the other, behind `length` that are in the cache already; seconds per token.

    After each run the cache is cropped to where it was, so that every run does the same.
    """
    ids = _tokens(model, batch, length)  # (batch, length)
    with torch.no_grad():
        cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
    one = ids[:, -1:]  # (batch, 1)

    @torch.no_grad()
    def run():
        for _ in range(tokens):
            model(input_ids=one, past_key_values=cache, use_cache=True, logits_to_keep=1)

    return Job(run, after=lambda: cache.crop(-tokens), units=tokens)


def _tokens(model: nn.Module, batch: int, length: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (batch, length), generator=generator)
    return ids.to(next(model.parameters()).device)
