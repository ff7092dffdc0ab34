"""Table 1: GPT-2 medium's shape, bare and with each method, at the paper's batches; and one token at a time."""

from collections.abc import Iterator
from functools import cache

from torch import nn

from benchmarks.gpu.cells import Budget, as_rows, measured
from benchmarks.gpu.precision import weights_in
from benchmarks.gpu.sizes import Sizes
from lorakit.chapters.merge_and_latency.contenders import contenders, measure
from lorakit.lab.bases.shapes import random_gpt2

WHAT = (
    "latency at GPT-2 medium's shape, random weights: the base, LoRA r = 4 on q and v merged and not, the two kinds of "
    "bottleneck adapters at 11M parameters (houlsby is the paper's AdapterH, pfeiffer like its AdapterL), a prefix of "
    "10; prefill: until the first token; decode: per token behind what is in the cache"
)
COLUMNS = ("precision", "phase", "batch", "length", "job", "ms", "ratio", "interval", "noise", "verdict")


def rows(device: str, sizes: Sizes, budget: Budget) -> Iterator[dict]:
    """One row for each method in each cell; "ms" is of a whole prefill, or of one decoded token."""
    cells = [
        {"shape": sizes.wide, "precision": precision, "phase": phase, "batch": batch, "length": length}
        for phase, batches in (("prefill", sizes.prefill), ("decode", sizes.decode))
        for batch, length in batches
        for precision in ("fp32", "bf16")
    ]

    @cache
    def models(precision: str) -> dict[str, nn.Module]:
        made = random_gpt2(sizes.shapes[sizes.wide], device=device, dtype=weights_in(precision))
        return contenders(made.requires_grad_(False))

    def cell_rows(cell: dict, seconds: float) -> list[dict]:
        where = (cell["phase"], cell["batch"], cell["length"])
        return as_rows(measure(models(cell["precision"]), *where, repeats=sizes.rounds, seconds=0.8 * seconds))

    yield from measured(cells, budget, cell_rows, longest=sizes.longest)
