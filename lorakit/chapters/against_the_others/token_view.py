"""Tokens as boxes: what a prefix takes of the context, and before which block each token of a prompt was dropped."""

from collections.abc import Sequence
from itertools import accumulate

from matplotlib import colormaps
from matplotlib.patches import Rectangle

from lorakit.show.style import BLUE, GREEN, GREY, ORANGE, CourseFigure, figure

PARTS = {"prefix": ORANGE, "prompt": BLUE, "answer": GREEN, "free": "#E8E8E8"}
FONT = dict(family="DejaVu Sans Mono", fontsize=13)
WIDE = 84  # characters in a line of tokens


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


def dropped_figure(pieces: Sequence[str], dropped: Sequence[int | None], blocks: int) -> CourseFigure:
    """A prompt's tokens in reading order, each shaded by the block before which it was dropped; None: never, white."""
    shades = [colormaps["viridis"](0.15 + 0.7 * block / max(blocks - 1, 1)) for block in range(blocks)]  # early: dark
    boxes, line, at = [], 0, 0
    for piece, block in zip(pieces, dropped, strict=True):
        text = piece.replace("\n", "⏎").replace(" ", "·") or "∅"
        if at and at + len(text) > WIDE:
            line, at = line + 1, 0
        boxes.append((at, line, text, block))
        at += len(text) + 0.6
        if "\n" in piece:
            line, at = line + 1, 0
    lines = line + (at > 0)
    kept = sum(block is None for block in dropped)
    fig, ax = figure(f"{kept} of {len(pieces)} tokens reach the end", size=(10, 0.42 * lines + 1.3), grid=False)
    for x, y, text, block in boxes:
        colour = "white" if block is None else shades[block]
        ax.add_patch(Rectangle((x, y), len(text) + 0.3, 0.82, facecolor=colour, edgecolor=GREY, linewidth=0.6))
        dark = block is not None and sum(colour[:3]) < 1.4
        middle = x + 0.15 + len(text) / 2, y + 0.41
        ax.text(*middle, text, ha="center", va="center", color="white" if dark else "black", **FONT)
    for block in sorted({b for b in dropped if b is not None}):
        ax.plot([], [], "s", color=shades[block], markersize=13, markeredgecolor=GREY, label=f"before block {block}")
    ax.plot([], [], "s", color="white", markersize=13, markeredgecolor=GREY, label="kept")
    ax.set(xlim=(-0.3, WIDE + 1), ylim=(lines, -0.2), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.legend(ncols=blocks + 1, loc="upper center", bbox_to_anchor=(0.5, -0.01))
    return fig
