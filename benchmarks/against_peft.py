"""lorakit beside PEFT and loralib: speed and memory in one process and one run, as ratios. `make bench` runs it.

Every row times its jobs in turns (see study.latency), so that drift of the machine cancels; overheads are medians of
the rounds' ratios to the base, and the base against itself gives the noise floor. Before any timing the three are given
the same A and B and must compute the same. Results go to data/results/bench_<device>.json, a chart to docs/.
"""

import argparse
import copy
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
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
from benchmarks.chart import draw
from lorakit.lab import record
from lorakit.lab.bases.shapes import random_gpt2
from lorakit.lab.places import RESULTS
from lorakit.study.latency import Comparison, compare
from lorakit.study.memory_measured import measure_step
from lorakit.study.parameters import Decoder

GPT3 = Decoder(layers=96, width=12288, heads=96, vocabulary=50257, context=2048, inner=4 * 12288)
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
        """Medians of lorakit's job and of PEFT's, and the ratio of the two."""
        jobs = self.compare({"lorakit": ours, "peft": theirs}, seconds).jobs
        found = {name: 1e3 * jobs[name].median for name in ("lorakit", "peft")}
        return found | {"ratio": found["lorakit"] / found["peft"]}


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


def row(what: str, goal: str, met: bool | None, **values: float) -> dict:
    """`met`: None where the noise hides the answer."""
    return {"what": what, "goal": goal, "met": met, **values}


def overheads(what: str, found: Comparison) -> dict:
    """A row of what each contestant adds to the base's time; the goal is at most half of what PEFT adds."""
    over = {name: found.jobs[name].ratio - 1 for name in ("lorakit", "peft", "loralib")}
    met = over["lorakit"] <= over["peft"] / 2
    if over["peft"] <= found.noise or (not met and over["lorakit"] - over["peft"] / 2 <= found.noise):
        met = None
    return row(what, "at most half of PEFT's", met, **over, noise=found.noise)


def training(bench: Bench) -> Iterator[dict]:
    for model in (bench.base, *bench.models.values()):
        model.train()
    jobs = {"base": training_step(bench.base, bench.tokens, base=True)}
    jobs |= {name: training_step(model, bench.tokens) for name, model in bench.models.items()}
    yield overheads("training step, overhead over base", bench.compare(jobs))
    peaks = {name: peak_mib(model, bench.tokens) for name, model in bench.models.items()}
    met = peaks["lorakit"] <= 1.001 * peaks["peft"]
    yield row("peak memory of a step, MiB", "never above PEFT's", met, **peaks)


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
        found = bench.compare({name: partial(forward, model, ids) for name, model in models.items()})
        yield overheads(f"unmerged forward {rows} x {length}, overhead", found)
        if rows == 4:
            added, met = found.jobs["merged"].ratio - 1, found.verdict("merged") != "slower"
            yield row("merged forward, overhead", "0 within the noise", met, lorakit=added, noise=found.noise)


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
    met = switch["lorakit"] < 1 and switch["ratio"] <= 1 / 10
    yield row("switch adapter, ms", "under 1 ms, a tenth of PEFT's", met, **switch)

    lk.set_adapter(ours, names[0])
    for model in (ours, theirs):
        model.eval()
    for what, length in (("prefill 16 x 32", 32), (f"decoding, {STEPS} steps", 1)):
        batch, cached = bench.batch(16, length), 0 if length > 1 else 32
        found = bench.compare(mixed_jobs(bench.base, ours, theirs, batch, names * 2, cached))
        mixed, alone, theirs_mixed = (found.jobs[name].ratio for name in ("mixed", "one adapter", "peft mixed"))
        values = dict(faster_than_peft=theirs_mixed / mixed, of_single_adapter=mixed / alone)
        met = values["faster_than_peft"] >= 2 and values["of_single_adapter"] <= 1.25
        values |= dict(added=mixed - 1, peft_added=theirs_mixed - 1, noise=found.noise)
        yield row(f"16 rows over 8 adapters, {what}", "2 x PEFT, 1.25 x one adapter", met, **values)


def getting_ready(bench: Bench) -> Iterator[dict]:
    """Injecting, and importing."""
    fresh = copy.deepcopy(bench.base)
    inject = bench.milliseconds(
        lambda: lk.eject(lk.inject(fresh, our_config())),
        lambda: peft.get_peft_model(fresh, peft_config()).unload(),
        seconds=4,
    )
    yield row("inject (and take out again), ms", "a fifth of PEFT's", inject["ratio"] <= 1 / 5, **inject)
    gpt3 = random_gpt2(TINY if bench.tiny else GPT3, device="meta")
    start = time.perf_counter()
    lk.inject(gpt3, lk.LoRAConfig(r=64, targets=("q", "v")))
    took = time.perf_counter() - start
    yield row("inject into 175B on meta, s", "under 2 s", took < 2, lorakit=took)
    times = 1 if bench.tiny else 5
    ratio = seconds_to_import("lorakit", times) / seconds_to_import("torch", times)
    yield row("import lorakit / import torch", "at most 1.1", ratio <= 1.1, ratio=ratio)


def seconds_to_import(what: str, times: int) -> float:
    """Median wall seconds of `import what` in a fresh interpreter."""
    runs = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {what}"], check=True)
        runs.append(time.perf_counter() - start)
    return statistics.median(runs)


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
        for found in part(bench):
            rows.append(found)
            shown = ", ".join(f"{key} {value:.4g}" for key, value in found.items() if key not in row("", "", None))
            word = {True: "met", False: "missed", None: "below the noise"}[found["met"]]
            print(f"{found['what']:34} {shown}   (goal: {found['goal']}: {word})", flush=True)
    result = {
        "versions": record.versions("peft", "loralib", "lorakit"),
        "shape": "tiny" if options.tiny else "GPT-2 124M, r = 8 on c_attn, batch 4 x 128",
        "same_logits_within": bench.apart,
        "rows": rows,
    }
    name = f"bench_{torch.device(options.device).type}"
    command = " ".join(["python benchmarks/against_peft.py", *(sys.argv[1:] if arguments is None else arguments)])
    record.write(options.out or RESULTS / f"{name}.json", result, command, options.device)
    if not options.tiny:
        draw(result, Path(__file__).parents[1] / "docs" / f"{name}.png")


if __name__ == "__main__":
    main()
