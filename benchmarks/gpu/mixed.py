"""One batch over several adapters: lorakit's `using` with names beside PEFT's adapter_names and a single adapter."""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import nn

import lorakit as lk
from benchmarks.beside_peft import mixed_jobs, our_config, peft_config, peft_here, with_peft
from benchmarks.gpu.cells import Budget, as_rows, measured
from benchmarks.gpu.precision import weights_in
from benchmarks.gpu.sizes import Sizes
from lorakit.chapters.merge_and_latency.contenders import sharing_copy
from lorakit.lab.bases.shapes import random_gpt2
from lorakit.study.latency import compare
from lorakit.study.parameters import Decoder

WHAT = (
    "rows of one batch shared out among adapters r = 8 on c_attn, random weights, in turns: the base, one adapter for "
    "all rows, lorakit's `using`, PEFT's adapter_names. ms: of a whole prefill, or of one token of decoding. "
    "over_one_adapter, over_peft: the time of a mixed batch over theirs"
)
COLUMNS = ("shape", "precision", "phase", "adapters", "job", "ms", "ratio", "noise", "over_one_adapter", "over_peft")


def rows(device: str, sizes: Sizes, budget: Budget) -> Iterator[dict]:
    """One row for each way to answer in each cell."""
    batch, length = sizes.mixed
    cells = [
        {"shape": shape, "precision": precision, "phase": phase, "batch": batch, "length": length, "adapters": adapters}
        for shape in dict.fromkeys(shape for shape, *_ in sizes.training)
        for precision in ("bf16", "fp32")
        for adapters in sizes.adapters
        for phase in ("decode", "prefill")
    ]

    @lru_cache(maxsize=1)
    def models(shape: str, precision: str) -> list[nn.Module | None]:
        return with_adapters(sizes.shapes[shape], weights_in(precision), device, max(sizes.adapters))

    def cell_rows(cell: dict, seconds: float) -> list[dict]:
        return measure_cell(cell, seconds, device, sizes, *models(cell["shape"], cell["precision"]))

    yield from measured(cells, budget, cell_rows, longest=sizes.longest)


def with_adapters(shape: Decoder, dtype: torch.dtype, device: str, count: int) -> list[nn.Module | None]:
    """The base, and lorakit's model and PEFT's (None where it is not installed) with so many adapters, "a0" active."""
    base = random_gpt2(shape, device=device, dtype=dtype).requires_grad_(False)
    names, ours = [f"a{number}" for number in range(count)], sharing_copy(base)
    for number, name in enumerate(names):
        lk.inject(ours, our_config(), name=name, seed=number)
    lk.set_adapter(ours, names[0])
    theirs = None
    if peft_here():
        theirs = with_peft(base, sharing_copy)
        for name in names:
            theirs.add_adapter(name, peft_config())
    # Who serves a half-precision model has its adapters in half precision too.
    return [base, *(model and model.to(dtype).eval() for model in (ours, theirs))]


def measure_cell(cell: dict, seconds: float, device: str, sizes: Sizes, base, ours, theirs) -> list[dict]:
    vocabulary, decoding = sizes.shapes[cell["shape"]].vocabulary, cell["phase"] == "decode"
    size = (cell["batch"], 1 if decoding else cell["length"])
    tokens = torch.randint(vocabulary, size, generator=torch.Generator().manual_seed(0)).to(device)
    per_row = [f"a{row % cell['adapters']}" for row in range(cell["batch"])]
    jobs = mixed_jobs(base, ours, theirs, tokens, per_row, cached=cell["length"] if decoding else 0)
    found = compare(jobs, repeats=sizes.rounds, warmup=1, device=device, seconds=0.6 * seconds)
    ratio = {name: job.ratio for name, job in found.jobs.items()}
    more = {"over_one_adapter": ratio["mixed"] / ratio["one adapter"]}
    if theirs is not None:
        more["over_peft"] = ratio["mixed"] / ratio["peft mixed"]
    return [{**row, **(more if row["job"] == "mixed" else {})} for row in as_rows(found)]
