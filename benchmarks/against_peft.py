"""lorakit beside PEFT and loralib: speed and memory in one process and one run, as ratios. `make bench` runs it.

Every row times its jobs in turns (see study.latency), so that drift of the machine cancels; what a library adds is the
median of the rounds' ratios to the base, less 1, and the base against itself gives the noise. Before any timing the
three are given the same A and B and must compute the same. Results go to data/results/bench_<device>.json.
"""

import argparse
import copy
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

import loralib
import peft
import torch
from torch import nn

import lorakit as lk
from benchmarks.beside_peft import (
    ALPHA,
    STEPS,
    R,
    agree,
    mixed_jobs,
    our_config,
    peft_config,
    training_step,
    with_lorakit,
    with_peft,
)
from lorakit.lab import record
from lorakit.lab.bases.shapes import random_gpt2
from lorakit.lab.places import RESULTS
from lorakit.study.latency import Comparison, Job, compare
from lorakit.study.memory_measured import measure_step
from lorakit.study.parameters import SHAPES, Decoder

TINY = Decoder(layers=2, width=64, heads=2, vocabulary=300, context=128, inner=256)


class Bench:
    """One base, the contestants on copies of it, and how long to time them."""

    def __init__(self, device: str, repeats: int, seconds: float, tiny: bool) -> None:
        self.device, self.repeats, self.seconds, self.tiny = device, repeats, seconds, tiny
        self.base = random_gpt2(TINY if tiny else "gpt2", device=device, dropout=0.0).requires_grad_(False)
        contestants = {"lorakit": with_lorakit, "peft": with_peft, "loralib": with_loralib}
        self.models = {name: adapted(self.base) for name, adapted in contestants.items()}
        self.tokens = self.batch(4, 128)
        self.apart = agree(self.models, self.tokens)

    def batch(self, rows: int, length: int) -> torch.Tensor:
        return torch.randint(self.base.config.vocab_size, (rows, length), device=self.device)

    def compare(self, jobs: dict, seconds: float = float("inf")) -> Comparison:
        """`seconds`: no longer than that."""
        return compare(jobs, repeats=self.repeats, device=self.device, seconds=min(seconds, self.seconds))

    def milliseconds(self, ours: Callable, theirs: Callable, seconds: float) -> dict[str, float]:
        """Medians of lorakit's job and of PEFT's."""
        jobs = self.compare({"lorakit": ours, "peft": theirs}, seconds).jobs
        return {name: 1e3 * jobs[name].median for name in ("lorakit", "peft")}


def with_loralib(base: nn.Module) -> nn.Module:
    """loralib's layer in place of every c_attn. It has none for Conv1D: a Linear with the weight transposed."""
    model = copy.deepcopy(base)
    for block in model.transformer.h:
        old = block.attn.c_attn
        new = loralib.Linear(*old.weight.shape, r=R, lora_alpha=ALPHA, merge_weights=False)
        new.to(old.weight.device).load_state_dict({"weight": old.weight.T, "bias": old.bias}, strict=False)
        block.attn.c_attn = new
    loralib.mark_only_lora_as_trainable(model)
    return model


def added(what: str, found: Comparison) -> dict:
    """A row of what each job adds to the base's time, as a share of it, and the noise."""
    jobs = {name: job for name, job in found.jobs.items() if not name.startswith("base")}
    return {"what": what, **{name: job.ratio - 1 for name, job in jobs.items()}, "noise": found.noise}


def training(bench: Bench) -> Iterator[dict]:
    for model in (bench.base, *bench.models.values()):
        model.train()
    jobs = {"base": training_step(bench.base, bench.tokens)}
    jobs |= {name: training_step(model, bench.tokens) for name, model in bench.models.items()}
    yield added("training step, added", bench.compare(jobs))
    peaks = {name: peak_mib(model, bench.tokens) for name, model in bench.models.items()}
    yield {"what": "peak memory of a step, MiB", **peaks}


def peak_mib(model: nn.Module, tokens: torch.Tensor) -> float:
    """The peak of a training step, above the weights and what the optimizer keeps."""
    found = measure_step(model, lambda: model(input_ids=tokens, labels=tokens).loss)
    return (found.peak - found.weights - found.optimizer) / 2**20


@torch.no_grad()
def forward(model: nn.Module, ids: torch.Tensor) -> None:
    model(input_ids=ids, logits_to_keep=1)


def answering(bench: Bench) -> Iterator[dict]:
    merged = with_lorakit(bench.base)
    lk.merge(merged)
    models = {"base": bench.base, **bench.models, "merged": merged}
    for model in models.values():
        model.eval()
    for rows, length in ((4, 128), (1, 32)):
        ids = bench.tokens[:rows, :length]
        jobs = {name: partial(forward, model, ids) for name, model in models.items()}
        yield added(f"forward {rows} x {length}, added", bench.compare(jobs))


def many_adapters(bench: Bench) -> Iterator[dict]:
    """Switching among eight adapters, and a batch over all of them."""
    names = [f"a{i}" for i in range(8)]
    ours, theirs = bench.models["lorakit"], bench.models["peft"]
    for i, name in enumerate(names):
        lk.inject(ours, our_config(), name=name, seed=i)
        theirs.add_adapter(name, peft_config())
    next_of_ours, next_of_theirs = cycle(names), cycle(names)
    switch = bench.milliseconds(
        lambda: lk.set_adapter(ours, next(next_of_ours)),
        lambda: theirs.set_adapter(next(next_of_theirs)),
        seconds=2,
    )
    yield {"what": "switch adapter, ms", **switch}

    lk.set_adapter(ours, names[0])
    for model in (ours, theirs):
        model.eval()
    for what, length in (("prefill 16 x 32", 32), (f"decoding, {STEPS} steps", 1)):
        batch, cached = bench.batch(16, length), 0 if length > 1 else 32
        jobs = mixed_jobs(bench.base, ours, theirs, batch, names * 2, cached)
        yield added(f"16 rows over 8 adapters, {what}, added", bench.compare(jobs))

    def enter(chosen, times: int = 20) -> None:
        for _ in range(times):
            with lk.using(ours, chosen):
                pass

    ways = {"one name": names[0], "8 rows over 8": names, "16 rows over 8": names * 2}
    jobs = {way: Job(partial(enter, chosen), units=20) for way, chosen in ways.items()}
    found = bench.compare(jobs, seconds=2).jobs
    yield {"what": "using in and out, ms", **{way: 1e3 * found[way].median for way in ways}}


def getting_ready(bench: Bench) -> Iterator[dict]:
    """Injecting, and importing."""
    fresh = copy.deepcopy(bench.base)
    inject = bench.milliseconds(
        lambda: lk.eject(lk.inject(fresh, our_config())),
        lambda: peft.get_peft_model(fresh, peft_config()).unload(),
        seconds=4,
    )
    yield {"what": "inject and take out again, ms", **inject}
    gpt3 = random_gpt2(TINY if bench.tiny else SHAPES["GPT-3 175B"], device="meta")
    start = time.perf_counter()
    lk.inject(gpt3, lk.LoRAConfig(r=64, targets=("q", "v")))
    yield {"what": "inject into 175B on meta, s", "lorakit": time.perf_counter() - start}
    yield {"what": "import, s", **seconds_to_import(("lorakit", "torch"), 1 if bench.tiny else 9)}


def seconds_to_import(names: Sequence[str], times: int) -> dict[str, float]:
    """Median wall seconds of `import name` in a fresh interpreter, in turns."""
    runs: dict[str, list[float]] = {name: [] for name in names}
    for name in [*names] * times:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {name}"], check=True)
        runs[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in runs.items()}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=40, help="for each of the larger rows")
    parser.add_argument("--tiny", action="store_true", help="a tiny shape, to see that everything runs")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    bench, rows = Bench(options.device, options.repeats, options.seconds, options.tiny), []
    for part in (training, answering, many_adapters, getting_ready):
        for row in part(bench):
            rows.append(row)
            print(row["what"], *(f"{name} {value:.4g}" for name, value in row.items() if name != "what"), flush=True)
    result = {
        "versions": record.versions("peft", "loralib", "lorakit"),
        "shape": "tiny" if options.tiny else "GPT-2 124M, r = 8 on c_attn, batch 4 x 128",
        "same_logits_within": bench.apart,
        "rows": rows,
    }
    name = f"bench_{torch.device(options.device).type}.json"
    command = " ".join(["python benchmarks/against_peft.py", *(sys.argv[1:] if arguments is None else arguments)])
    record.write(options.out or RESULTS / name, result, command, options.device)


if __name__ == "__main__":
    main()
