"""Pictures of the appendix on encoders."""

from collections.abc import Sequence

from lorakit.lab.old_records import best_lr, select, value
from lorakit.show.style import BLUE, GREY, CourseFigure, figure

NAMES = {"head": "head alone", "bitfit": "BitFit", "lora": "LoRA, r = 8", "full": "full fine-tuning"}


def reported(rows: Sequence[dict], metric: str = "validation.accuracy") -> dict[str, list[dict]]:
    """Method → its runs over the seeds, at the learning rate that `metric` chose on seed 0."""
    rates = best_lr(select(rows, seed=0), ("method",), metric)
    return {name: select(rows, method=name, lr=rates[name,]) for name in NAMES if (name,) in rates}


def methods_figure(rows: Sequence[dict], metric: str = "test.accuracy") -> CourseFigure:
    """Each method's accuracy, a dot for a seed and a bar at their mean, beside the numbers that it trains."""
    runs = reported(rows)
    scores = {name: [100 * value(row, metric) for row in runs[name]] for name in runs}
    means = {name: sum(found) / len(found) for name, found in scores.items()}
    lora, full = means["lora"], means["full"]
    title = f"LoRA {lora:.1f} %, full {full:.1f} %, head alone {means['head']:.1f} %"
    fig, ax = figure(title, size=(8, 3.4))
    for place, (name, found) in enumerate(scores.items()):
        colour = BLUE if name == "lora" else GREY
        ax.plot(found, [place] * len(found), "o", color=colour, alpha=0.7)
        ax.plot([means[name]] * 2, [place - 0.25, place + 0.25], color=colour)
    labels = [f"{NAMES[name]}\n{runs[name][0]['trainable']:,} trained" for name in scores]
    ax.set_yticks(range(len(scores)), labels)
    ax.set_ylim(-0.6, len(scores) - 0.4)
    ax.set_xlabel(f"test sentences right (%), {max(map(len, scores.values()))} seeds")
    return fig
