"""lorakit beside PEFT and loralib: speed and memory in one process and one run, as ratios. `make bench` runs it.

Every row times its jobs in turns (see study.latency), so that drift of the machine cancels; overheads are medians of
the rounds' ratios to the base, and the base against itself gives the noise floor. Before any timing the three are given
the same A and B and must compute the same. Results go to data/results/bench_<device>.json, a chart to docs/.
"""

import argparse
import copy
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import peft  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from torch.multiprocessing.reductions import StorageWeakRef  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

import lorakit as lk  # noqa: E402
from benchmarks.gpu.beside_peft import (  # noqa: E402
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
from lorakit.study.latency import compare  # noqa: E402

try:
    import loralib  # noqa: E402
except ImportError:  # then its columns are left out
    loralib = None


def gpt2(device: str, **shape) -> torch.nn.Module:
    """A GPT-2 of the 124M shape (or another), random weights: time and memory do not depend on their values."""
    config = transformers.GPT2Config(attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0, **shape)
    with torch.device(device):
        return transformers.GPT2LMHeadModel(config).requires_grad_(False)


def with_loralib(base):
    """loralib's layer in place of every c_attn. It has none for Conv1D: a Linear with the weight transposed."""
    model = copy.deepcopy(base)
    for block in model.transformer.h:
        old = block.attn.c_attn
        new = loralib.Linear(*old.weight.shape, r=R, lora_alpha=ALPHA, merge_weights=False)
        new.to(old.weight.device).load_state_dict({"weight": old.weight.T, "bias": old.bias}, strict=False)
        block.attn.c_attn = new
    loralib.mark_only_lora_as_trainable(model)
    return model


def forward(model, tokens):
    def run():
        with torch.no_grad():
            model(input_ids=tokens, logits_to_keep=1)

    return run


class LiveBytes(TorchDispatchMode):
    """Counts, after every operation, the bytes of all tensors that live and did not before: exact on any device."""

    def __init__(self, held):
        super().__init__()
        self.held = {tensor.untyped_storage()._cdata for tensor in held}
        self.live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.untyped_storage()._cdata not in self.held:
                storage = leaf.untyped_storage()
                self.live[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.live = {key: (ref, size) for key, (ref, size) in self.live.items() if not ref.expired()}
        self.peak = max(self.peak, sum(size for _, size in self.live.values()))
        return result


def peak_bytes(job: Callable[[], object], model) -> int:
    """Peak of memory allocated during the job, above what the model holds, in bytes."""
    job()
    with LiveBytes(list(model.parameters()) + list(model.buffers())) as count:
        job()
    return count.peak


def loralib_version() -> dict:
    from importlib.metadata import version

    return {"loralib": version("loralib")} if loralib else {}


def seconds_to_import(what: str) -> float:
    """Median wall seconds of `import what` in a fresh interpreter, of 5."""
    runs = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {what}"], check=True)
        runs.append(time.perf_counter() - start)
    return statistics.median(runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=40, help="for each of the larger rows")
    parser.add_argument("--tiny", action="store_true", help="a tiny shape, to see that everything runs")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    device, repeats = args.device, args.repeats
    torch.manual_seed(0)
    shape = dict(n_layer=2, n_embd=64, n_head=2, vocab_size=300) if args.tiny else {}
    base = gpt2(device, **shape)
    contestants = {"lorakit": with_lorakit(base), "peft": with_peft(base)}
    if loralib:
        contestants["loralib"] = with_loralib(base)
    ours, theirs = contestants["lorakit"], contestants["peft"]
    vocabulary = base.config.vocab_size
    tokens = torch.randint(0, vocabulary, (4, 128), device=device)
    apart = agree(contestants, tokens)
    rows: list[dict] = []

    def record(what: str, goal: str, met, **values) -> None:
        """`met`: True, False, or None where the noise hides the answer."""
        rows.append({"what": what, "goal": goal, "met": met, **values})
        shown = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
        word = {True: "met", False: "missed", None: "below the noise"}[met]
        print(f"{what:34} {shown}   (goal: {goal}: {word})", flush=True)

    def timed(jobs: dict, seconds: float | None = args.seconds):
        return compare(jobs, repeats=repeats, device=device, seconds=seconds)

    def overheads(found) -> dict:
        return {name: found.jobs[name].ratio - 1 for name in found.jobs if name in ("merged", *contestants)}

    def half_of_pefts(over: dict, noise: float):
        """At most half of PEFT's, where PEFT's own overhead stands out of the noise."""
        if over["lorakit"] <= over["peft"] / 2 and over["peft"] > noise:
            return True
        return None if over["peft"] <= noise or over["lorakit"] - over["peft"] / 2 <= noise else False

    for model in (base, *contestants.values()):
        model.train()
    jobs = {"base": training_step(base, tokens, base=True)}
    jobs |= {name: training_step(model, tokens) for name, model in contestants.items()}
    found = timed(jobs)
    over = overheads(found)
    record("training step, overhead over base", "at most half of PEFT's", half_of_pefts(over, found.noise), **over,
           noise=found.noise)  # fmt: skip
    peaks = {n: peak_bytes(training_step(model, tokens), model) / 2**20 for n, model in contestants.items()}
    record("peak memory of a step, MiB", "never above PEFT's", peaks["lorakit"] <= 1.001 * peaks["peft"], **peaks)

    merged = with_lorakit(base)
    lk.merge(merged)
    for model in (base, merged, *contestants.values()):
        model.eval()
    for rows_, length in ((4, 128), (1, 32)):
        ids = tokens[:rows_, :length]
        jobs = {"base": forward(base, ids)} | {name: forward(model, ids) for name, model in contestants.items()}
        if rows_ == 4:
            jobs["merged"] = forward(merged, ids)
        found = timed(jobs)
        over = overheads(found)
        merged_over = over.pop("merged", None)
        record(f"unmerged forward {rows_} x {length}, overhead", "at most half of PEFT's",
               half_of_pefts(over, found.noise), **over, noise=found.noise)  # fmt: skip
        if merged_over is not None:
            low, high = found.jobs["merged"].interval
            met = low <= 1 + found.noise
            record("merged forward, overhead", "0 within the noise", met, lorakit=merged_over, noise=found.noise)

    names = [f"a{i}" for i in range(8)]
    for i, name in enumerate(names):
        lk.inject(ours, our_config(), name=name, seed=i)
        theirs.add_adapter(name, peft_config())
    next_of_ours, next_of_theirs = cycle(names), cycle(names)
    found = timed(
        {
            "lorakit": lambda: lk.set_adapter(ours, next(next_of_ours)),
            "peft": lambda: theirs.set_adapter(next(next_of_theirs)),
        },
        seconds=2,
    )
    mine, other = (1e3 * found.jobs[name].median for name in ("lorakit", "peft"))
    record("switch adapter, ms", "under 1 ms, a tenth of PEFT's", mine < 1 and mine <= other / 10, lorakit=mine,
           peft=other, ratio=mine / other)  # fmt: skip

    per_row = [names[i % 8] for i in range(16)]
    ours.eval()
    theirs.eval()
    lk.set_adapter(ours, names[0])
    for what, length in (("prefill 16 x 32", 32), (f"decoding, {STEPS} steps", 1)):
        batch = torch.randint(0, vocabulary, (16, length), device=device)
        found = timed(mixed_jobs(base, ours, theirs, batch, per_row, cached=0 if length > 1 else 32))
        mixed, alone, peft_mixed = (found.jobs[name].ratio for name in ("mixed", "one adapter", "peft mixed"))
        record(f"16 rows over 8 adapters, {what}", "2 x PEFT, 1.25 x one adapter",
               peft_mixed / mixed >= 2 and mixed / alone <= 1.25, faster_than_peft=peft_mixed / mixed,
               of_single_adapter=mixed / alone, added=mixed - 1, peft_added=peft_mixed - 1,
               noise=found.noise)  # fmt: skip

    def inject_ours(model):
        lk.inject(model, our_config())
        lk.eject(model)

    fresh = copy.deepcopy(base)
    found = timed(
        {
            "lorakit": lambda: inject_ours(fresh),
            "peft": lambda: peft.get_peft_model(fresh, peft_config()).unload(),
        },
        seconds=4,
    )
    mine, other = (1e3 * found.jobs[name].median for name in ("lorakit", "peft"))
    record("inject (and take out again), ms", "a fifth of PEFT's", mine <= other / 5, lorakit=mine, peft=other,
           ratio=mine / other)  # fmt: skip
    gpt3 = gpt2("meta", n_layer=96, n_embd=12288, n_head=96, n_positions=2048)
    start = time.perf_counter()
    lk.inject(gpt3, lk.LoRAConfig(r=64, targets=("q", "v")))
    took = time.perf_counter() - start
    record("inject into 175B on meta, s", "under 2 s", took < 2, lorakit=took)
    ratio = seconds_to_import("lorakit") / seconds_to_import("torch")
    record("import lorakit / import torch", "at most 1.1", ratio <= 1.1, ratio=ratio)

    result = {
        "command": "python benchmarks/against_peft.py " + " ".join(sys.argv[1:]),
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, peft, lk)} | loralib_version(),
        "shape": "tiny" if args.tiny else "GPT-2 124M, r = 8 on c_attn, batch 4 x 128",
        "same_logits_within": apart,
        "rows": rows,
    }
    out = args.out or Path(__file__).parent.parent / "data" / "results" / f"bench_{device}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"written to {out}")
    if not args.tiny:
        from chart import draw

        draw(result, Path(__file__).parent.parent / "docs" / f"bench_{device}.png")


if __name__ == "__main__":
    main()
