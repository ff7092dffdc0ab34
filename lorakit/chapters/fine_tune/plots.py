"""The memory of a training step in pictures and tables: its parts, its course, what a block keeps, LoRA's share."""

from collections.abc import Mapping, Sequence

import numpy as np

from lorakit.show.sizes import PARTS
from lorakit.show.style import PALETTE, CourseFigure, figure
from lorakit.study.memory import Prediction
from lorakit.study.memory_measured import PHASES, Measured

WIDTHS = (3.0, 5.0, 1.6)  # of the three phases in the picture: enough for their names


def parts(steps: Mapping[str, Prediction]) -> CourseFigure:
    """A bar for each step of full fine-tuning, by name: its peak in four parts, in MB."""
    peaks = ", ".join(f"{step.peak / 1e6:.0f} MB for {name}" for name, step in steps.items())
    fig, ax = figure(f"A step of full fine-tuning: {peaks}", size=(10, 3), grid=False)
    names = list(steps)
    left = np.zeros(len(names))
    for part, colour in PARTS.items():
        widths = np.array([getattr(step, part) / 1e6 for step in steps.values()])
        ax.barh(names, widths, left=left, color=colour, height=0.6, label=part)
        left += widths
    ax.invert_yaxis()
    ax.set(xlabel="peak of a step (MB)")
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return fig


def course(steps: Mapping[str, Measured], title: str) -> CourseFigure:
    """Measured steps side by side: what lives from the first operation to the last, in four layers, in MB.

    Along the axis each allocation and each release is one place; the phases have the same widths in every panel.
    """
    fig, axes = figure(title, columns=len(steps), size=(10, 4.2), sharey=True, squeeze=False)
    for ax, (name, step) in zip(axes[0], steps.items(), strict=True):
        live, gradients = np.array(step.live) / 1e6, np.array(step.grown) / 1e6
        flat = np.ones(len(live))
        layers = {"weights": flat * step.weights / 1e6, "optimizer": flat * step.optimizer / 1e6}
        layers |= {"gradients": gradients}
        layers["activations"] = live - sum(layers.values())
        places = _places(step)
        ax.stackplot(places, layers.values(), labels=layers, colors=[PARTS[part] for part in layers])
        top = places[int(live.argmax())]
        words = f"peak {live.max():.0f} MB"
        ax.annotate(words, (top, live.max()), (0, 4), textcoords="offset points", ha="center", weight="bold")
        edges = np.cumsum((0, *WIDTHS))
        for edge in edges[1:-1]:
            ax.axvline(edge, color="black", linewidth=1, linestyle=":")
        ax.set_xticks((edges[:-1] + edges[1:]) / 2, PHASES)
        ax.tick_params(axis="x", length=0)
        ax.grid(False, axis="x")
        ax.set(title=name, xlim=(0, edges[-1]))
    axes[0][0].set(ylabel="MB", ylim=(0, 1.12 * max(step.peak for step in steps.values()) / 1e6))
    fig.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return fig


def _places(step: Measured) -> np.ndarray:
    """Where each event stands: evenly within its phase."""
    times = np.array(step.times)
    places, left = np.zeros(len(times)), 0.0
    starts = [step.phases[name][0] for name in PHASES] + [np.inf]
    for number, width in enumerate(WIDTHS):
        inside = (times >= starts[number]) & (times < starts[number + 1])
        places[inside] = left + width * np.linspace(0, 1, inside.sum())
        left += width
    return places


def in_megabytes(pairs: Mapping[str, tuple[Prediction | Measured, Measured]]) -> str:
    """A table of (predicted, measured), by name, in MB: the four parts, the peak they make, all gradients, all kept."""
    rows = [*PARTS, "peak", "all_gradients", "kept"]
    names = {"all_gradients": "all gradients", "kept": "kept for backward"}
    heads = "".join(f"{name + ':':>8} predicted  measured    error" for name in pairs)
    lines = [f"{'MB':18}{heads}"]
    for row in rows:
        line = f"{names.get(row, row):18}"
        for predicted, measured in pairs.values():
            a, b = getattr(predicted, row) / 1e6, getattr(measured, row) / 1e6
            error = f"{round(100 * (a / b - 1), 1) + 0.0:+.1f} %" if b > 0.05 else ""
            line += f"{a:18.1f}{b:10.1f}{error:>9}"
        lines += [line.rstrip()]
        if row == "peak":
            lines.append("")
    return "\n".join(lines)


def kept_table(ways: Mapping[str, Mapping[tuple[str, str], int]]) -> str:
    """What one block keeps for its backward pass, in kB: a row for each tensor, a column for each way to train."""
    columns = list(ways.values())
    totals = [sum(column.values()) for column in columns]
    lines = [f"{'kB in one block':36}" + "".join(f"{name:>11}" for name in ways)]
    for operation, tensor in dict.fromkeys(key for column in columns for key in column):
        sizes = [column.get((operation, tensor), 0) / 1e3 for column in columns]
        lines.append(f"{operation:12} {tensor:23}" + "".join(f"{size:11,.0f}" for size in sizes))
    lines.append(f"{'together':36}" + "".join(f"{size / 1e3:11,.0f}" for size in totals))
    lines.append(f"{'share of the first column':36}" + "".join(f"{size / totals[0]:11.0%}" for size in totals))
    return "\n".join(lines)


def share_figure(
    sizes: Sequence[int],
    predicted: Mapping[str, Sequence[float]],
    measured: Mapping[str, Mapping[int, float]],
    length: int,
) -> CourseFigure:
    """LoRA's peak as a share of full fine-tuning's over the rows in a batch, `length` tokens each, by optimizer.

    predicted  optimizer → a share (0..1) for each of `sizes`: a line; one of them is "AdamW"
    measured   optimizer → {rows: share}: dots
    """
    below = [size for size, share in zip(sizes, predicted["AdamW"], strict=True) if share <= 1 / 3]
    words = f"A third: with AdamW up to {max(below)} rows" if below else "A third: not with these rows"
    if below and all(share > 1 / 3 for name in predicted if name != "AdamW" for share in predicted[name]):
        words += ", with SGD never"
    fig, ax = figure(words, size=(9, 4.2))
    for (name, shares), colour in zip(predicted.items(), PALETTE, strict=False):
        ax.plot(sizes, [100 * share for share in shares], color=colour, label=name)
        dots = measured.get(name, {})
        ax.plot(list(dots), [100 * share for share in dots.values()], "o", color=colour, markersize=10)
    ax.axhline(100 / 3, color="black", linestyle=":", linewidth=1.5)
    ax.text(sizes[-1], 34, "a third", ha="right", va="bottom")
    ax.set(xscale="log", xticks=sizes, xticklabels=sizes, ylim=(0, 100))
    ax.set(xlabel=f"rows of {length} tokens in a batch", ylabel="LoRA's peak (% of full)")
    ax.minorticks_off()
    ax.legend(title="lines: predicted\ndots: measured", loc="center left", bbox_to_anchor=(1, 0.5))
    return fig
