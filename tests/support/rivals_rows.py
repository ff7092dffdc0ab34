"""Made-up recorded runs and costs, in the shape of the real ones, for the tests of chapter 07's table and pictures."""

from dataclasses import asdict, replace

import pandas as pd

from lorakit.lab import records
from lorakit.lab.kinds import KINDS

MEANS = {"full": 0.73, "bitfit": 0.78, "last_block": 0.5, "houlsby": 0.81, "pfeiffer": 0.779, "prefix": 0.45,
         "prefix_mlp": 0.6, "distill": 0.01, "distill_long": 0.7, "lora": 0.782, "lora_mlp": 0.79}  # fmt: skip


def row(run, test=0.5, validation=0.5):
    metrics = {split: {"execution": score} for split, score in (("test", test), ("validation", validation))}
    return {
        "run": asdict(run) | {"targets": list(run.targets)},
        "trainable": 100,
        "metrics": metrics | {"last_loss": 1.0},
        "seconds": 1.0,
    }


def runs(keys=tuple(KINDS)) -> pd.DataFrame:
    """Two learning rates each; validation likes 0.01, with three seeds whose test scores lie ± 0.01 about the mean."""
    found = []
    for key in keys:
        run, mean = KINDS[key].run, MEANS[key]
        found.append(row(replace(run, lr=0.001, seed=0), mean + 0.1, 0.8))
        found += [row(replace(run, lr=0.01, seed=s), mean + 0.01 * (s - 1), 0.9) for s in range(3)]
    return records.frame(found)


def costs(keys=tuple(KINDS)) -> dict:
    rows = {
        key: {
            "trained": 4_000_000 if key == "full" else 300_000 if key == "prefix_mlp" else 32_768,
            "kept": 4_000_000 if key == "full" else 32_768,
            "parameters": 4_300_000,
            "memory": 200_000_000 if key == "full" else 130_000_000 + 1_000_000 * i,
            "context": 240 if "prefix" in key else 256,
            "unchanged": key not in ("full", "bitfit", "last_block"),
            "prefill": [1.0 + 0.1 * i, 0.98 + 0.1 * i, 1.02 + 0.1 * i],
            "decode": [1.0 + 0.05 * i, 0.98 + 0.05 * i, 1.02 + 0.05 * i],
        }
        for i, key in enumerate(keys)
    }
    noise = {"prefill": 0.01, "decode": 0.02}
    return {"device": "cpu", "threads": 2, "date": "2026-01-01", "base": 4_200_000, "rows_in_step": 32, "length": 64,
            "noise": noise, "rows": rows, "merged": {name: [1.0, 0.99, 1.01] for name in noise}}  # fmt: skip
