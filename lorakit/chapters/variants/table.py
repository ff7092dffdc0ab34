"""What the recorded sweep of variants says: each at its own rate, beside LoRA; and PEFT's neutral table."""

import numpy as np
import pandas as pd

from lorakit.chapters.compare import difference, reported
from lorakit.chapters.experiment import CHOOSE
from lorakit.lab import record
from lorakit.lab.places import RESULTS

TIMES = RESULTS / "variants_time.json"
LORA, TWICE = "LoRA", "LoRA, r = 8"
METHODS = {"lora_plus": "LoRA+", "pissa": "PiSSA", "dora": "DoRA", "lora_fa": "LoRA-FA", "vera": "VeRA"}
VARIANTS = ["rsLoRA", *METHODS.values()]
# PEFT's method_comparison/MetaMathQA, July 2026: Llama-3.2-3B, one seed, ± 1.4 points; accuracy in %.
NEUTRAL = {"LoRA": 47.8, "rsLoRA": 51.3, "DoRA": 46.9, "LoRA-FA": 40.4, "VeRA": 35.4}


def named(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs, as `records.load("variants")` gives them, with their "variant" in words."""
    plain = np.select([runs["use_rslora"], runs["r"] == 4], ["rsLoRA", LORA], TWICE)
    return runs.assign(variant=runs["method"].map(METHODS).fillna(pd.Series(plain, runs.index)))


def fair_table(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each variant, LoRA first: test bits per byte at its own rate, and how far it is ahead of LoRA.

    r, trained   rank, and numbers that train; rate: the learning rate (LoRA+: A's)
    bits         mean over the seeds that report; lowest, highest
    gain         how many % fewer bits than LoRA, from `low` to `high` (95 %); careless: at LoRA's rate instead
    step         the time of a step over LoRA's, as recorded by `step_time`
    """
    runs = named(runs)
    best = reported(runs)
    lora = best[best["variant"] == LORA]
    metric, rate = "test_bits_per_byte", lora["lr"].iloc[0]
    unit = lora[metric].mean() / 100
    variants = best.groupby("variant")
    table = variants.agg(r=("r", "first"), trained=("trainable", "first"), rate=("lr", "first"))
    table[["bits", "lowest", "highest"]] = variants[metric].agg(["mean", "min", "max"])
    for variant, own in variants:
        mean, low, high = difference(own, lora, metric)
        table.loc[variant, ["gain", "low", "high"]] = [-x / unit for x in (mean, high, low)]
    table.loc[LORA, ["gain", "low", "high"]] = 0.0
    choosing = runs[(runs["seed"] < CHOOSE) & (runs["lr"] == rate)].groupby("variant")[metric].mean()
    table["careless"] = (choosing[LORA] - choosing) / unit
    table["step"] = pd.Series(recorded_times())
    return table.loc[[LORA, *VARIANTS, TWICE]].rename_axis(None)


def neutral_table(table: pd.DataFrame) -> pd.DataFrame:
    """Both tables as differences to LoRA: ours in % of its bits, PEFT's in points; None where PEFT has none."""
    theirs = {name: round(score - NEUTRAL[LORA], 1) for name, score in NEUTRAL.items()}
    columns = {"ours, % fewer bits": table["gain"].round(1), "PEFT's, points": pd.Series(theirs)}
    return pd.DataFrame(columns).loc[VARIANTS]


def curves(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean validation bits per byte of the seeds that choose: a row for each rate, a column for each variant."""
    choosing = named(runs).query("seed < @CHOOSE")
    found = choosing.groupby(["lr", "variant"])["validation_bits_per_byte"].mean().unstack()
    return found[[LORA, *VARIANTS, TWICE]]


def recorded_times() -> dict[str, float]:
    """variant → the time of a step over LoRA's."""
    return {name: row["ratio"] for name, row in record.read(TIMES)["steps"].items()}
