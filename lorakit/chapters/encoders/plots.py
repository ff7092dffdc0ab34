"""Pictures of the appendix on encoders."""

import pandas as pd

from lorakit.chapters.compare import reported
from lorakit.show.style import BLUE, GREY, CourseFigure, figure

# Method and targets, as records have them.
WAYS = {
    ("head", ""): "head alone", ("bitfit", ""): "BitFit", ("lora", "q+v"): "LoRA on q, v",
    ("lora", "q+k+v+o+mlp"): "LoRA, all-linear", ("full", ""): "full fine-tuning",
}  # fmt: skip


def by_way(runs: pd.DataFrame):
    """The runs of the sweep `sst2` at each way's own learning rate, grouped by its name in the order of WAYS."""
    runs = reported(runs)
    names = [WAYS[pair] for pair in zip(runs["method"], runs["targets"], strict=True)]
    return runs.groupby(pd.Categorical(names, list(WAYS.values())), observed=True)


def methods_figure(runs: pd.DataFrame) -> CourseFigure:
    """Each way's test accuracy, a dot for a seed and a bar at their mean, beside the numbers that it trains."""
    ways = by_way(runs)
    means = 100 * ways["test_accuracy"].mean()
    best = means[["LoRA on q, v", "LoRA, all-linear"]].max()
    title = f"LoRA {best:.1f} %, full {means['full fine-tuning']:.1f} %, head alone {means['head alone']:.1f} %"
    fig, ax = figure(title, size=(8, 4))
    for place, (name, runs_of) in enumerate(ways):
        colour = BLUE if name.startswith("LoRA") else GREY
        ax.plot(100 * runs_of["test_accuracy"], [place] * len(runs_of), "o", color=colour, alpha=0.7)
        ax.plot([means[name]] * 2, [place - 0.25, place + 0.25], color=colour)
    labels = [f"{name}\n{trained:,} trained" for name, trained in ways["trainable"].first().items()]
    ax.set_yticks(range(len(means)), labels)
    ax.set_ylim(-0.6, len(means) - 0.4)
    ax.set_xlabel("test sentences right (%), 3 seeds")
    return fig
