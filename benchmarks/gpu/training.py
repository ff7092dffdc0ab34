"""Tokens a second in training: lorakit beside PEFT, the frozen base and full fine-tuning, compiled or not."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn

from benchmarks.beside_peft import agree, peft_here, training_step, with_lorakit, with_peft
from benchmarks.gpu.cells import Budget, as_rows, measured
from benchmarks.gpu.precision import forward_under, weights_in
from benchmarks.gpu.sizes import Sizes
from lorakit.chapters.merge_and_latency.contenders import sharing_copy
from lorakit.lab.bases.shapes import random_gpt2
from lorakit.study.latency import compare
from lorakit.study.memory_measured import make_optimizer

WHAT = (
    "training throughput, random weights, no dropout, LoRA r = 8 on c_attn, in float32 on a bf16 base too, by both: "
    "forward and backward, the gradient carried to the input; jobs with AdamW also take its step. In turns; ratio: "
    "time over the base's in the same rounds; over_peft: over PEFT's. Compiled: torch.compile of the model, for PEFT "
    "of the model inside; compile_s: its first step, which finds what jobs before it compiled"
)
COLUMNS = ("shape", "precision", "compiled", "job", "tokens_per_s", "ms", "ratio", "interval", "noise",
           "over_peft", "compile_s")  # fmt: skip


def rows(device: str, sizes: Sizes, budget: Budget) -> Iterator[dict]:
    """One row for each job in each cell."""
    batch, length = sizes.train
    cells = [
        {"shape": shape, "precision": precision, "compiled": seconds > 0, "batch": batch, "length": length}
        for shape, precision, seconds in sizes.training
    ]
    to_compile = {(shape, precision): seconds for shape, precision, seconds in sizes.training if seconds}

    def least(cell: dict) -> float:  # compiling cannot be stopped half-way
        return to_compile[cell["shape"], cell["precision"]] if cell["compiled"] else 1.0

    longest = min(sizes.longest, 8.0)  # of timing: the seconds are for compiling
    yield from measured(cells, budget, partial(measure_cell, device=device, sizes=sizes), least, longest)


def measure_cell(cell: dict, seconds: float, device: str, sizes: Sizes) -> list[dict]:
    shape, precision = sizes.shapes[cell["shape"]], cell["precision"]
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(shape.vocabulary, (cell["batch"], cell["length"]), generator=generator).to(device)
    models = contestants(random_gpt2(shape, device=device, dtype=weights_in(precision), dropout=0.0))
    apart = None
    if precision == "fp32" and "peft" in models:
        apart = agree({name: models[name] for name in ("lorakit", "peft")}, tokens[:2, :128])
    for model in models.values():
        model.train()
    step = partial(training_step, tokens=tokens, around=lambda: forward_under(device, precision))
    jobs = {name: step(model) for name, model in models.items()}
    made: dict[str, dict] = {}
    if cell["compiled"]:
        eager, _ = jobs["lorakit"], models.pop("full")  # which would take a third of the time
        jobs, made = compiled_jobs(models, step, sizes.compiler)
        jobs["lorakit, not compiled"] = eager
    else:
        for name in [name for name in models if name != "base"]:
            jobs[f"{name}, AdamW"] = step(models[name], optimizer=make_optimizer(models[name], "adamw"))
    found = compare(jobs, repeats=sizes.rounds, warmup=2, device=device, seconds=0.7 * seconds)
    rows = [{**row, "tokens_per_s": 1e3 * tokens.numel() / row["ms"]} for row in as_rows(found)]
    if "peft" in found.jobs and "lorakit" in found.jobs:
        over = found.jobs["lorakit"].ratio / found.jobs["peft"].ratio
        rows = [{**row, "over_peft": over} if row["job"] == "lorakit" else row for row in rows]
    if apart is not None:
        rows = [{**row, "same_logits_within": apart} for row in rows]
    return [{**row, **made.get(row["job"], {})} for row in rows]


def contestants(base: nn.Module) -> dict[str, nn.Module]:
    """The frozen base, lorakit, PEFT (where it is installed) and full fine-tuning, over the same memory.

    Full fine-tuning trains here at learning rate 0, so that it moves nothing that the others use.
    """
    models = {"base": base.requires_grad_(False), "lorakit": with_lorakit(base, sharing_copy)}
    if peft_here():
        models["peft"] = with_peft(base, sharing_copy)
    return models | {"full": sharing_copy(base).requires_grad_(True)}


def compiled_jobs(models: dict[str, nn.Module], step: Callable, backend: str) -> tuple[dict, dict[str, dict]]:
    """Each model's step, compiled and run once; and for each seconds of that first step, graphs, and graph breaks."""
    import torch._dynamo
    from torch._dynamo.utils import counters

    torch._dynamo.reset()  # or earlier cells count towards the number of times one forward may be compiled
    jobs, said = {}, {}
    for name, model in models.items():
        counters.clear()
        inner = model.get_base_model() if name == "peft" else model
        jobs[name] = step(model, call=torch.compile(inner, backend=backend, dynamic=False))
        began = time.perf_counter()
        jobs[name]()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        said[name] = {
            "compile_s": time.perf_counter() - began,
            "graphs": counters["stats"]["unique_graphs"],
            "graph_breaks": sum(counters["graph_break"].values()),
        }
    return jobs, said
