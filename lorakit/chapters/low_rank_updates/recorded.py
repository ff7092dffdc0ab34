"""What chapter 02 takes from the recorded sweeps: settings compared, cut updates, the ranks that energy asks for."""

import pandas as pd
import torch

from lorakit.chapters.compare import reported
from lorakit.study.rank import rank_for_energy


def compare_settings(runs: pd.DataFrame) -> pd.DataFrame:
    """Full fine-tuning and then every LoRA, by rank and targets, each at its best rate, with two columns more.

    method   "full", "r = 8 on q+v", "r = 64 on all-linear"; rates   how many learning rates were tried for it
    """
    runs = runs.sort_values("r", kind="stable")  # full has 0
    targets = runs["targets"].replace("q+k+v+o+mlp", "all-linear")
    names = "r = " + runs["r"].astype(str) + " on " + targets
    runs = runs.assign(method=names.where(runs["method"] == "lora", "full"))
    runs = runs.assign(rates=runs.groupby("method")["lr"].transform("nunique"))
    return reported(runs)


def recorded_cuts(runs: pd.DataFrame, base: str) -> pd.Series:
    """k → test accuracy (0..1) with ΔW cut to rank k, one value for each seed; k missing: biases and norms as well."""
    points = pd.DataFrame(runs.query("base == @base")["truncation"].explode().tolist())
    return points.astype({"k": "Int64"}).set_index("k")["execution"]


def rank_for_gain(curve: pd.Series, share: float = 0.9) -> int:
    """The smallest k in a curve of `recorded_cuts` that keeps `share` of what the largest k adds to k = 0."""
    mean = curve.groupby(level="k").mean()
    goal = mean[0] + share * (mean.iloc[-1] - mean[0])
    return int(mean.index[mean >= goal].min())


def recorded_needs(runs: pd.DataFrame, base: str, share: float = 0.9) -> pd.Series:
    """Matrix → the k that holds `share` of the energy of its ΔW, in the blocks, for the run that has spectra."""
    spectra = runs.query("base == @base")["spectra"].dropna().iloc[0]
    needs = {name: rank_for_energy(torch.tensor(both["delta"]), share) for name, both in spectra.items()}
    return pd.Series(needs).filter(like=".h.")
