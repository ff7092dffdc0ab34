"""Pictures of the appendix on encoders."""

import pandas as pd

from lorakit.lab import records
from lorakit.show.style import BLUE, GREY, CourseFigure, figure

NAMES = {"head": "head alone", "bitfit": "BitFit", "lora": "LoRA, r = 8", "full": "full fine-tuning"}


def reported(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of the sweep `sst2` at the rate that the dev split chose for each method on seed 0, in NAMES' order."""
    rates = records.best_lr(runs.query("seed == 0"), ["method"], "validation_accuracy")
    chosen = runs[runs["lr"] == runs["method"].map(rates)]
    return chosen.sort_values("method", key=lambda column: column.map(list(NAMES).index), kind="stable")


def methods_figure(runs: pd.DataFrame) -> CourseFigure:
    """Each method's test accuracy, a dot for a seed and a bar at their mean, beside the numbers that it trains."""
    by_method = reported(runs).groupby("method", sort=False)
    means = 100 * by_method["test_accuracy"].mean()
    title = f"LoRA {means['lora']:.1f} %, full {means['full']:.1f} %, head alone {means['head']:.1f} %"
    fig, ax = figure(title, size=(8, 3.4))
    for place, (name, of_method) in enumerate(by_method):
        colour = BLUE if name == "lora" else GREY
        ax.plot(100 * of_method["test_accuracy"], [place] * len(of_method), "o", color=colour, alpha=0.7)
        ax.plot([means[name]] * 2, [place - 0.25, place + 0.25], color=colour)
    labels = [f"{NAMES[name]}\n{trained:,} trained" for name, trained in by_method["trainable"].first().items()]
    ax.set_yticks(range(len(means)), labels)
    ax.set_ylim(-0.6, len(means) - 0.4)
    ax.set_xlabel("test sentences right (%), 3 seeds")
    return fig
