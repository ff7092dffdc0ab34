"""The memory of a training step as a picture of its course, and as a table beside the prediction."""

from collections.abc import Mapping

import numpy as np

from lorakit.show.memory_explorer import PARTS
from lorakit.show.style import CourseFigure, figure
from lorakit.study.memory import Prediction
from lorakit.study.memory_measured import PHASES, Measured

WIDTHS = (3.0, 5.0, 1.6)  # of the three phases in the picture: enough for their names


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
