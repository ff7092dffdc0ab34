"""A batch as a picture; the memory of a training step: its course, its parts in a table, LoRA's share."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from torch import Tensor

from lorakit.show.sizes import PARTS
from lorakit.show.style import ORANGE, PALETTE, CourseFigure, figure, log_x
from lorakit.study.memory import Prediction
from lorakit.study.memory_measured import PHASES, Measured

EDGES = np.cumsum((0, 3.0, 5.0, 1.6))  # of the three phases in the picture: far enough apart for their names


def batch_picture(batch: Mapping[str, Tensor]) -> CourseFigure:
    """A batch of `collate` as a grid: a row for each example, a cell for each token, coloured by what it is."""
    answers, padding = batch["labels"] != -100, batch["attention_mask"] == 0
    kinds = {"prompt": "#D9D9D9", "answer": ORANGE, "padding": "#FFFFFF"}
    shares = {"answer": answers.float().mean().item(), "padding": padding.float().mean().item()}
    words = ", ".join(f"{share:.0%} {name}" for name, share in shares.items())
    fig, ax = figure(f"{len(answers)} questions as a batch: {words}", size=(9, 3.6), grid=False)
    places = (answers + 2 * padding).numpy()  # (n, t): 0, 1, 2 in the order of `kinds`
    ax.pcolormesh(places, cmap=ListedColormap(list(kinds.values())), vmin=0, vmax=2, edgecolor="white", linewidth=0.6)
    ax.invert_yaxis()
    ax.set(xlabel="token", ylabel="example")
    boxes = [Patch(facecolor=colour, edgecolor="#999999") for colour in kinds.values()]
    ax.legend(boxes, kinds, loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def course(steps: Mapping[str, Measured], title: str) -> CourseFigure:
    """Measured steps side by side: what lives from the first operation to the last, in layers, in MB.

    Along the axis each allocation and each release is one place; the phases have the same widths in every panel.
    """
    fig, axes = figure(title, columns=len(steps), size=(10, 4.2), sharey=True, squeeze=False)
    for ax, (name, step) in zip(axes[0], steps.items(), strict=True):
        live, gradients = np.array(step.live) / 1e6, np.array(step.grown) / 1e6
        flat = np.ones(len(live))
        held = {name: flat * getattr(step, name) / 1e6 for name in ("weights", "optimizer")}
        layers = held | {"gradients": gradients}
        rest, optimizing = live - sum(layers.values()), np.array(step.times) >= step.phases["optimizer"][0]
        layers |= {"activations": np.where(optimizing, 0, rest), "scratch": np.where(optimizing, rest, 0)}
        places = _places(step)
        ax.stackplot(places, layers.values(), labels=layers, colors=[PARTS[part] for part in layers])
        top = places[int(live.argmax())]
        words = f"peak {live.max():.0f} MB"
        for edge in EDGES[1:-1]:
            ax.axvline(edge, color="black", linewidth=1, linestyle=":")
        look = {"ha": "center", "weight": "bold", "bbox": {"color": "white", "pad": 1}}  # over the dotted line
        ax.annotate(words, (top, live.max()), (0, 6), textcoords="offset points", **look)
        ax.set_xticks((EDGES[:-1] + EDGES[1:]) / 2, PHASES)
        ax.tick_params(axis="x", length=0)
        ax.grid(False, axis="x")
        ax.set(title=name, xlim=(0, EDGES[-1]))
    axes[0][0].set(ylabel="MB", ylim=(0, 1.12 * max(step.peak for step in steps.values()) / 1e6))
    fig.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(PARTS))
    return fig


def _places(step: Measured) -> np.ndarray:
    """Where each event stands: evenly within its phase."""
    starts = [step.phases[name][0] for name in PHASES]
    phase = pd.Series(np.searchsorted(starts, step.times, side="right") - 1)
    return np.interp(phase + phase.groupby(phase).rank("first", pct=True), range(len(EDGES)), EDGES)


def in_megabytes(pairs: Mapping[str, tuple[Prediction | Measured, Measured]]) -> pd.DataFrame:
    """(predicted, measured) by name, in MB: the parts, the peak they make, all gradients, all kept; the error."""
    rows = {part: part for part in (*PARTS, "peak")}
    rows |= {"all_gradients": "all gradients", "kept": "kept for backward"}
    tables = {}
    for name, pair in pairs.items():
        kinds = zip(("predicted", "measured"), pair, strict=True)
        table = pd.DataFrame({kind: {rows[row]: getattr(it, row) / 1e6 for row in rows} for kind, it in kinds})
        table["error (%)"] = 100 * (table["predicted"] / table["measured"] - 1)
        tables[name] = table.round(1) + 0.0  # no -0.0
    return pd.concat(tables, axis=1).astype(object).fillna("–")  # no error where nothing was predicted


def share_figure(predicted: pd.DataFrame, measured: Mapping[str, Mapping[int, float]], length: int) -> CourseFigure:
    """LoRA's peak as a share of full fine-tuning's over the rows in a batch, `length` tokens each, by optimizer.

    predicted  shares (0..1), drawn as lines: the index is the rows in a batch, a column for each optimizer, one "AdamW"
    measured   optimizer → {rows: share}: dots
    """
    below = predicted.index[predicted["AdamW"] <= 1 / 3]
    words = f"A third: with AdamW up to {below.max()} rows" if len(below) else "A third: not with these rows"
    if len(below) and (predicted.drop(columns="AdamW") > 1 / 3).all(axis=None):
        words += ", with SGD never"
    fig, ax = figure(words, size=(9, 4.2))
    for (name, shares), colour in zip(predicted.items(), PALETTE, strict=False):
        ax.plot(predicted.index, 100 * shares, color=colour, label=name)
        dots = measured.get(name, {})
        ax.plot(list(dots), [100 * share for share in dots.values()], "o", color=colour, markersize=10)
    ax.axhline(100 / 3, color="black", linestyle=":", linewidth=1.5)
    ax.text(predicted.index[-1], 34, "a third", ha="right", va="bottom")
    log_x(ax, predicted.index)
    ax.set(xlabel=f"rows of {length} tokens in a batch", ylabel="LoRA's peak (% of full)", ylim=(0, 100))
    ax.legend(title="lines: predicted\ndots: measured", loc="center left", bbox_to_anchor=(1, 0.5))
    return fig
