"""lorakit beside PEFT: speed and memory in one process and one run, as ratios. `make bench` runs it.

Every row measures base, lorakit and PEFT in turns (A B C A B C …), so that drift of the machine cancels, and prints
medians. The base against itself gives the noise floor. Results go to data/results/bench_<device>.json.
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

R, ALPHA = 8, 16


def gpt2(device: str, **shape) -> torch.nn.Module:
    """A GPT-2 of the 124M shape (or another), random weights: time and memory do not depend on their values."""
    config = transformers.GPT2Config(attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0, **shape)
    with torch.device(device):
        return transformers.GPT2LMHeadModel(config).requires_grad_(False)


def with_lorakit(base):
    return lk.inject(copy.deepcopy(base), our_config())


def our_config() -> lk.LoRAConfig:
    return lk.LoRAConfig(r=R, alpha=ALPHA, targets=("c_attn",))


def peft_config() -> peft.LoraConfig:
    return peft.LoraConfig(r=R, lora_alpha=ALPHA, target_modules=["c_attn"], fan_in_fan_out=True)


def with_peft(base):
    return peft.get_peft_model(copy.deepcopy(base), peft_config())


def in_turns(jobs: dict[str, Callable[[], object]], repeats: int, sync: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each job, run alternately; two warm-up rounds are dropped."""
    times = {name: [] for name in jobs}
    for _ in range(repeats + 2):
        for name, job in jobs.items():
            sync()
            start = time.perf_counter()
            job()
            sync()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[2:]) for name, values in times.items()}


def training_step(model, tokens, base: bool = False):
    """Forward and backward. The frozen base's own step carries the gradient to its input, as LoRA's does."""

    def step():
        embedded = model.get_input_embeddings()(tokens).detach().requires_grad_(base)
        model(inputs_embeds=embedded, labels=tokens).loss.backward()
        for parameter in model.parameters():
            parameter.grad = None

    return step


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
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    device, repeats = args.device, args.repeats
    sync = torch.cuda.synchronize if device == "cuda" else lambda: None
    torch.manual_seed(0)
    base = gpt2(device)
    ours, theirs = with_lorakit(base), with_peft(base)
    tokens = torch.randint(0, 50257, (4, 128), device=device)
    rows: list[dict] = []

    def record(what: str, goal: str, **values) -> None:
        rows.append({"what": what, "goal": goal, **values})
        shown = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
        print(f"{what:34} {shown}   (goal: {goal})", flush=True)

    for model in (base, ours, theirs):
        model.train()
    t = in_turns(
        {
            "base": training_step(base, tokens, base=True),
            "again": training_step(base, tokens, base=True),
            "ours": training_step(ours, tokens),
            "peft": training_step(theirs, tokens),
        },
        repeats,
        sync,
    )
    over = {name: t[name] / t["base"] - 1 for name in t}
    record(
        "training step, overhead over base",
        "at most half of PEFT's",
        lorakit=over["ours"],
        peft=over["peft"],
        noise=abs(over["again"]),
    )
    both = {"lorakit": ours, "peft": theirs}
    peaks = {name: peak_bytes(training_step(model, tokens), model) / 2**20 for name, model in both.items()}
    record("peak memory of a step, MiB", "never above PEFT's", **peaks, ratio=peaks["lorakit"] / peaks["peft"])

    for model in (base, ours, theirs):
        model.eval()
    merged = with_lorakit(base).eval()
    lk.merge(merged)
    t = in_turns(
        {
            "base": forward(base, tokens),
            "again": forward(base, tokens),
            "ours": forward(ours, tokens),
            "peft": forward(theirs, tokens),
            "merged": forward(merged, tokens),
        },
        repeats,
        sync,
    )
    over = {name: t[name] / t["base"] - 1 for name in t}
    noise = abs(over["again"])
    record("unmerged forward, overhead", "at most half of PEFT's", lorakit=over["ours"], peft=over["peft"], noise=noise)
    record("merged forward, overhead", "0 within the noise", lorakit=over["merged"], noise=noise)

    names = [f"a{i}" for i in range(8)]
    for i, name in enumerate(names):
        lk.inject(ours, our_config(), name=name, seed=i)
        theirs.add_adapter(name, peft_config())
    next_of_ours, next_of_theirs = cycle(names), cycle(names)
    t = in_turns(
        {
            "ours": lambda: lk.set_adapter(ours, next(next_of_ours)),
            "peft": lambda: theirs.set_adapter(next(next_of_theirs)),
        },
        4 * repeats,
        sync,
    )
    record(
        "switch adapter, ms",
        "under 1 ms, a tenth of PEFT's",
        lorakit=t["ours"] * 1e3,
        peft=t["peft"] * 1e3,
        ratio=t["ours"] / t["peft"],
    )
    batch = torch.randint(0, 50257, (16, 32), device=device)
    per_row = [names[i % 8] for i in range(16)]
    ours.eval()
    theirs.eval()

    def mixed_ours():
        with torch.no_grad(), lk.mixed_batch(ours, per_row):
            ours(input_ids=batch, logits_to_keep=1)

    def mixed_peft():
        with torch.no_grad():
            theirs(input_ids=batch, logits_to_keep=1, adapter_names=per_row)

    t = in_turns({"single": forward(ours, batch), "ours": mixed_ours, "peft": mixed_peft}, repeats, sync)
    record(
        "16 rows over 8 adapters",
        "2 x PEFT, 1.25 x one adapter",
        faster_than_peft=t["peft"] / t["ours"],
        of_single_adapter=t["ours"] / t["single"],
    )

    def inject_ours(model):
        lk.inject(model, our_config())
        lk.eject(model)

    fresh = copy.deepcopy(base)
    t = in_turns(
        {
            "ours": lambda: inject_ours(fresh),
            "peft": lambda: peft.get_peft_model(fresh, peft_config()).unload(),
        },
        5,
        sync,
    )
    record(
        "inject (and take out again), ms",
        "a fifth of PEFT's",
        lorakit=t["ours"] * 1e3,
        peft=t["peft"] * 1e3,
        ratio=t["ours"] / t["peft"],
    )
    gpt3 = gpt2("meta", n_layer=96, n_embd=12288, n_head=96, n_positions=2048)
    start = time.perf_counter()
    lk.inject(gpt3, lk.LoRAConfig(r=64, targets=("q", "v")))
    record("inject into 175B on meta, s", "under 2 s", lorakit=time.perf_counter() - start)
    t_torch, t_ours = seconds_to_import("torch"), seconds_to_import("lorakit")
    record("import lorakit / import torch", "at most 1.1", ratio=t_ours / t_torch)

    result = {
        "command": "python benchmarks/against_peft.py " + " ".join(sys.argv[1:]),
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, peft, lk)},
        "shape": "GPT-2 124M, r = 8 on c_attn, batch 4 x 128",
        "rows": rows,
    }
    out = args.out or Path(__file__).parent.parent / "data" / "results" / f"bench_{device}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
