"""What chapter 02 takes from the recorded sweeps: the rows to report, cut updates, and spectra, as plain numbers."""

from collections.abc import Sequence
from statistics import fmean

import torch

from lorakit.lab.old_records import select, value
from lorakit.study.rank import rank_for_energy


def at_best_lr(rows: Sequence[dict], *by: str, metric: str = "validation.execution") -> list[dict]:
    """For every combination of the fields `by`: the rows at its best learning rate, chosen on validation.

    Only rates that were run with the most seeds are considered: the others belong to the search. Higher is better.
    """
    groups: dict[tuple, dict[float, list[dict]]] = {}
    for row in rows:
        key = tuple(str(row["run"][name]) for name in by)
        groups.setdefault(key, {}).setdefault(row["run"]["lr"], []).append(row)
    found = []
    for by_rate in groups.values():
        most = max(map(len, by_rate.values()))
        tried = [group for group in by_rate.values() if len(group) == most]
        found += max(tried, key=lambda group: fmean(value(row, metric) for row in group))
    return found


def recorded_cuts(rows: Sequence[dict], base: str) -> dict[int | None, list[float]]:
    """k → test accuracy (0..1) of each seed with ΔW cut to rank k; k = None: the whole model, biases and norms too."""
    curves: dict[int | None, list[float]] = {}
    for row in select(rows, base=base):
        for point in row.get("truncation", []):
            curves.setdefault(point["k"], []).append(point["execution"])
    return curves


def rank_for_gain(curve: dict[int | None, list[float]], share: float = 0.9) -> int:
    """The smallest k in a curve of `recorded_cuts` that keeps `share` of what the largest k adds to k = 0."""
    mean = {k: fmean(scores) for k, scores in curve.items() if k is not None}
    goal = mean[0] + share * (mean[max(mean)] - mean[0])
    return min(k for k, score in mean.items() if score >= goal)


def recorded_needs(rows: Sequence[dict], base: str, share: float = 0.9) -> dict[str, tuple[int, int]]:
    """Matrix → the k that holds `share` of the energy of W and of ΔW, in the blocks, for the row that has spectra."""
    spectra = next(row["spectra"] for row in select(rows, base=base) if "spectra" in row)
    return {
        name: tuple(rank_for_energy(torch.tensor(both[kind]), share) for kind in ("W", "delta"))
        for name, both in spectra.items()
        if ".h." in name
    }
