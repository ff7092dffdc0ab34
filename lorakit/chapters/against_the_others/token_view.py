"""What a prefix takes of the context."""

from collections.abc import Sequence

import pandas as pd

from lorakit.show.style import BLUE, GREEN, ORANGE, CourseFigure, figure

PARTS = {"prefix": ORANGE, "prompt": BLUE, "answer": GREEN, "free": "#E8E8E8"}


def context_figure(lengths: Sequence[int], prefixes: Sequence[int], answer: int, context: int) -> CourseFigure:
    """A bar of the context for each prefix length, with the longest prompt; behind it how many prompts do not fit."""
    lost = {prefix: sum(prefix + length + answer > context for length in lengths) for prefix in prefixes}
    title = f"No prompt is lost up to a prefix of {max(prefixes)} tokens"
    if any(lost.values()):
        first = next(prefix for prefix, n in lost.items() if n)
        title = f"Of the prefixes tried, {first} is the first that costs prompts"
    fig, ax = figure(title, size=(10, 3.8))
    parts = pd.DataFrame({"prefix": prefixes, "answer": answer}, [f"prefix {prefix}" for prefix in prefixes])
    parts["prompt"] = (context - answer - parts["prefix"]).clip(upper=max(lengths))  # what fits
    parts["free"] = context - parts.sum(axis=1)
    parts[list(PARTS)].plot.barh(ax=ax, stacked=True, width=0.72, color=PARTS)
    for y, n in enumerate(lost.values()):
        words = f"{n} of {len(lengths)} lost" if n else "all fit"
        ax.text(context + 3, y, words, va="center", fontsize=13)
    ax.set(xlim=(0, 1.2 * context), xlabel="positions of the context, with the longest test prompt")
    ax.set_xticks(range(0, context + 1, context // 8))
    ax.invert_yaxis()
    ax.grid(False)
    ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.42, -0.2))
    return fig
