"""What a prefix takes of the context."""

from collections.abc import Sequence
from itertools import accumulate

from lorakit.show.style import BLUE, GREEN, ORANGE, CourseFigure, figure

PARTS = {"prefix": ORANGE, "prompt": BLUE, "answer": GREEN, "free": "#E8E8E8"}


def context_figure(lengths: Sequence[int], prefixes: Sequence[int], answer: int, context: int) -> CourseFigure:
    """A bar of the context for each prefix length, with the longest prompt; behind it how many prompts do not fit."""
    lost = [sum(prefix + length + answer > context for length in lengths) for prefix in prefixes]
    first = next((prefix for prefix, n in zip(prefixes, lost, strict=True) if n), None)
    none = f"No prompt is lost up to a prefix of {max(prefixes)} tokens"
    fig, ax = figure(
        none if first is None else f"Of the prefixes tried, {first} is the first that costs prompts", size=(10, 3.8)
    )
    for y, (prefix, n) in enumerate(zip(prefixes, lost, strict=True)):
        prompt = min(max(lengths), context - prefix - answer)  # what fits
        sizes = (prefix, prompt, answer, context - prefix - prompt - answer)
        for (name, colour), size, left in zip(PARTS.items(), sizes, accumulate(sizes, initial=0), strict=False):
            ax.barh(y, size, left=left, color=colour, height=0.72, label=None if y else name)
        words = "all fit" if not n else f"{n} of {len(lengths)} lost"
        ax.text(context + 3, y, words, va="center", fontsize=13)
    ax.set_yticks(range(len(prefixes)), [f"prefix {prefix}" for prefix in prefixes])
    ax.set(xlim=(0, 1.2 * context), xlabel="positions of the context, with the longest test prompt")
    ax.set_xticks(range(0, context + 1, context // 8))
    ax.invert_yaxis()
    ax.grid(False)
    ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.42, -0.2))
    return fig
