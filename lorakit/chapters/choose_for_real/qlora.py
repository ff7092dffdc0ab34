"""QLoRA on nano: the same adapter trained on the base in float32, in NF4, and in even 4-bit steps.

    python -m lorakit.chapters.choose_for_real.qlora             writes data/results/qlora.json

LoRA r = 8 on all projections, on Python source, 60 steps of 8, three seeds. All bases share a rate: it is the same
method at the same place. About five minutes on one core.
"""

import json

import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

import lorakit as lk
from lorakit import by_hand
from lorakit.lab import record
from lorakit.lab.evaluate import evaluate
from lorakit.lab.loop import fit
from lorakit.lab.places import RESULTS
from lorakit.lab.tasks import TASKS
from lorakit.study.nf4 import PackedConv1D
from lorakit.study.packing import packed

RECORD = RESULTS / "qlora.json"
PROJECTIONS = ("c_attn", "c_proj", "c_fc")
BASES = ("float32", "NF4", "even 4 bits")
SETTING = {"r": 8, "lr": 1e-2, "steps": 60, "batch_size": 8}


def quantize(model: nn.Module, base: str) -> nn.Module:
    """Keep the weights of all projections as `base` says; the embeddings stay as they are."""
    for path, module in list(model.named_modules()):
        if path.endswith(PROJECTIONS) and base == "NF4":
            by_hand.put(model, path, PackedConv1D(module))
        elif path.endswith(PROJECTIONS) and base == "even 4 bits":
            module.weight.data = packed(module.weight.data, 4)
    return model


def run(base: str, seed: int, scored: int | None = None, steps: int = SETTING["steps"]) -> dict:
    """One training; "before" and "after" are bits per byte on the test."""
    task = TASKS["python"]()
    model, tokenizer = lk.load_base("nano", device="cpu")
    before = evaluate(quantize(model, base), tokenizer, task, limit=scored)["bits_per_byte"]
    torch.manual_seed(seed)
    by_hand.inject(model, PROJECTIONS, r=SETTING["r"], alpha=16)
    more = {"precision": "no", "progress": False, "seed": seed}
    fit(model, tokenizer, task, steps=steps, lr=SETTING["lr"], batch_size=SETTING["batch_size"], **more)
    after = evaluate(model, tokenizer, task, limit=scored)["bits_per_byte"]
    return {"base": base, "seed": seed, "before": before, "after": after}


def recorded() -> pd.DataFrame:
    """A row a base: bits per byte before, and after training (mean, lowest, highest of the seeds)."""
    rows = pd.DataFrame(json.loads(RECORD.read_text(encoding="utf-8"))["rows"])
    found = rows.groupby("base", sort=False)
    return found["after"].agg(["mean", "min", "max"]).assign(before=found["before"].first())


def main() -> None:
    todo = [(base, seed) for seed in range(3) for base in BASES]
    rows = [run(base, seed) for base, seed in tqdm(todo, desc="qlora")]
    command = "python -m lorakit.chapters.choose_for_real.qlora"
    record.write(RECORD, {"setting": SETTING | {"targets": PROJECTIONS}, "rows": rows}, command)


if __name__ == "__main__":
    main()
