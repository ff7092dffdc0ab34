"""The peak memory of a training step, full fine-tuning beside LoRA: where does LoRA take at most a third?"""

from collections.abc import Iterator

import torch
from torch import Tensor

import lorakit as lk
from benchmarks.gpu.cells import Budget, measured
from benchmarks.gpu.precision import forward_under, weights_in
from benchmarks.gpu.sizes import Sizes
from lorakit.lab.bases.shapes import config_of, random_gpt2
from lorakit.lab.evaluate import answer_loss
from lorakit.study.activations import Training
from lorakit.study.memory import predict
from lorakit.study.memory_measured import make_optimizer, measure_step, step_once

WHAT = (
    "peak memory of a training step with AdamW (weights, optimizer, gradients, activations; max_memory_allocated), "
    "random weights, no dropout, every token in the loss: full fine-tuning, LoRA r = 8 on q and v, its ratio. "
    "predicted_mib: study.memory from the config alone, which knows no autocast"
)
COLUMNS = ("shape", "precision", "batch", "length", "method", "mib", "predicted_mib", "ratio", "a_third")
LORA = lk.LoRAConfig(r=8, alpha=16, targets=("q", "v"))


def rows(device: str, sizes: Sizes, budget: Budget) -> Iterator[dict]:
    """For each shape, precision and batch a row of full fine-tuning and one of LoRA: peaks in MiB, and their ratio."""
    cells = [
        {"shape": shape, "precision": precision, "batch": batch, "length": length, "method": method}
        for batch, length in sizes.memory
        for precision in ("fp32", "bf16", "autocast")
        for shape in sizes.shapes
        for method in ("full", "lora")
    ]

    def cell_rows(cell: dict, seconds: float) -> list[dict]:
        peak, trained = peak_of_step(cell, device, sizes)
        guess = predicted(cell, device, sizes)
        return [{"mib": peak / 2**20, "trained": trained, "predicted_mib": guess and guess / 2**20}]

    full = {}
    for row in measured(cells, budget, cell_rows):
        if row["method"] == "full":
            full = row
        elif "mib" in row and "mib" in full:
            row["ratio"] = row["mib"] / full["mib"]
            row["a_third"] = row["ratio"] <= 1 / 3
        yield row


def peak_of_step(cell: dict, device: str, sizes: Sizes) -> tuple[int, int]:
    """(peak in bytes, numbers that train). Raises torch.OutOfMemoryError."""
    precision, shape = cell["precision"], sizes.shapes[cell["shape"]]
    model = random_gpt2(shape, device=device, dtype=weights_in(precision), dropout=0.0).train()
    if cell["method"] == "lora":
        lk.inject(model, LORA, seed=0)
    batch = batch_of(cell, shape.vocabulary, device)

    def loss() -> Tensor:
        with forward_under(device, precision):
            return answer_loss(model, batch)[0]

    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if torch.device(device).type == "cpu":
        return measure_step(model, loss).peak, trained
    optimizer = make_optimizer(model, "adamw")
    step_once(loss, optimizer)  # which makes the optimizer's states and the libraries' work space
    torch.cuda.reset_peak_memory_stats(device)
    step_once(loss, optimizer)
    return torch.cuda.max_memory_allocated(device), trained


def batch_of(cell: dict, vocabulary: int, device: str) -> dict[str, Tensor]:
    """Random tokens (batch, length), without padding, every one of them an answer."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(vocabulary, (cell["batch"], cell["length"]), generator=generator).to(device)
    return {"input_ids": ids, "labels": ids, "attention_mask": torch.ones_like(ids)}


def predicted(cell: dict, device: str, sizes: Sizes) -> int | None:
    """Bytes by study.memory; None under autocast, of which it knows nothing."""
    if cell["precision"] == "autocast":
        return None
    how = {"dtype": cell["precision"], "device": torch.device(device).type, "r": LORA.r, "targets": LORA.targets}
    step = Training(cell["batch"], cell["length"], method=cell["method"], **how)
    return predict(config_of(sizes.shapes[cell["shape"]]), step).peak
