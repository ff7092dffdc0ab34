"""Pictures of chapter 07: all methods in one, the spread over rates and seeds. Titles are worked out from the rows."""

from collections.abc import Mapping, Sequence

from matplotlib.ticker import NullFormatter, NullLocator

from lorakit.chapters.against_the_others.kinds import KINDS, at_best_rate
from lorakit.chapters.against_the_others.table import Rival, RivalsTable
from lorakit.lab.old_records import Summary, value
from lorakit.show.style import BLACK, BLUE, GREY, ORANGE, CourseFigure, figure

# What a picture can show of a row: its value, the axis, whether it spans factors of ten.
MEASURES = {
    "test": (lambda row: row.test.mean, "test, right (%)", False),
    "share": (lambda row: row.share, "trained (% of base)", True),
    "memory": (lambda row: row.memory / 1e6, "training step (MB)", False),
    "prefill": (lambda row: row.prefill[0], "reading a prompt (× base)", False),
    "decode": (lambda row: row.decode[0], "writing a token (× base)", False),
    "context": (lambda row: row.context, "context left (tokens)", False),
}
PANELS = ("test", "share", "memory", "decode", "context")


def beside(row: Rival, other: Rival) -> str:
    """ "above", "below" or "level": the range of a row's seeds beside another's, on test."""
    if row.test.low > other.test.high:
        return "above"
    return "below" if row.test.high < other.test.low else "level"


def apart(places: dict[str, float], step: float, low: float, high: float) -> dict[str, float]:
    """Heights for labels, in the order of `places`, `step` apart and as near as can be; between `low` and `high`.

    Labels that would touch form a group about their mean height; groups that touch become one.
    """
    groups: list[list[str]] = []
    bottoms: list[float] = []
    for key in sorted(places, key=places.get):
        group = [key]
        while True:
            middle = sum(places[k] for k in group) / len(group)
            bottom = min(max(middle - step * (len(group) - 1) / 2, low), high - step * (len(group) - 1))
            if not groups or bottoms[-1] + step * len(groups[-1]) <= bottom:
                break
            group = groups.pop() + group
            bottoms.pop()
        groups.append(group)
        bottoms.append(bottom)
    return {k: bottom + step * i for group, bottom in zip(groups, bottoms, strict=True) for i, k in enumerate(group)}


def seen_well(table: RivalsTable, split: str = "test") -> list[Rival]:
    """The rows with at least half of the best accuracy; others would squeeze the axis, and are marked at its end."""
    best = max(getattr(row, split).mean for row in table)
    return [row for row in table if getattr(row, split).mean >= best / 2]


def rivals_figure(table: RivalsTable) -> CourseFigure:
    """One line for each method, best on top; one panel for each measure: accuracy with its seeds' range, and costs."""
    lora = table["lora"]
    words = [beside(row, lora) for row in table if row is not lora]
    counts = ", ".join(f"{words.count(word)} {word}" for word in ("above", "level", "below"))
    rows = sorted(table, key=lambda row: row.test.mean)
    fig, axes = figure(f"Test accuracy beside LoRA's seeds: {counts}", columns=len(PANELS), size=(12, 5), sharey=True)
    left = min(row.test.low for row in seen_well(table)) - 4
    for ax, name in zip(axes, PANELS, strict=True):
        of, label, log = MEASURES[name]
        for y, row in enumerate(rows):
            colour = BLUE if row is lora else BLACK
            if name == "test" and row.test.mean < left:
                ax.text(left + 0.5, y, f"← {row.test.mean:.1f}", va="center", color=colour)
                continue
            if name == "test":
                ax.plot(
                    [row.test.low, row.test.high], [y, y], color=colour, linewidth=6, alpha=0.3, solid_capstyle="butt"
                )
            elif name == "decode":
                ax.plot(row.decode[1:], [y, y], color=colour, linewidth=6, alpha=0.3, solid_capstyle="butt")
            ax.plot([of(row)], [y], "o", color=colour, markersize=9)
        if log:
            ax.set(xscale="log", xticks=[0.1, 1, 10, 100], xticklabels=["0.1", "1", "10", "100"], xlim=(0.1, 200))
        ax.set_xlabel(label.replace(" (", "\n("))
    axes[0].axvspan(lora.test.low, lora.test.high, color=BLUE, alpha=0.12, linewidth=0)
    axes[0].set_xlim(left, None)
    axes[PANELS.index("context")].set_xlim(0, 1.1 * max(row.context for row in rows))
    axes[PANELS.index("memory")].set_xlim(0, 1.1 * max(row.memory for row in rows) / 1e6)
    axes[PANELS.index("share")].xaxis.set_minor_locator(NullLocator())
    axes[0].set_yticks(range(len(rows)), [row.name for row in rows])
    axes[0].get_yticklabels()[rows.index(lora)].set(weight="bold", color=BLUE)
    return fig


def spread(rows: Sequence[dict], split: str = "test") -> dict[float, list[float]]:
    """Accuracies in percent by learning rate, over the seeds."""
    found: dict[float, list[float]] = {}
    for row in sorted(rows, key=lambda row: (row["run"]["lr"], row["run"]["seed"])):
        found.setdefault(row["run"]["lr"], []).append(100 * value(row, f"{split}.execution"))
    return found


def spread_figure(runs: Mapping[str, Sequence[dict]], keys: Sequence[str], split: str = "test") -> CourseFigure:
    """A panel for each method: every run as a dot over its learning rate, those at the chosen rate in colour."""
    wide = {}
    for key in keys:
        scores = spread(at_best_rate(runs[key])[1], split)
        (chosen,) = scores.values()
        wide[key] = max(chosen) - min(chosen)
    title = "Points between seeds: " + "; ".join(f"{KINDS[k].name}: {w:.1f}" for k, w in wide.items())
    fig, axes = figure(title, columns=len(keys), size=(11, 4), sharey=True, squeeze=False)
    for ax, key in zip(axes[0], keys, strict=True):
        rate, _ = at_best_rate(runs[key])
        scores = spread(runs[key], split)
        for lr, values in scores.items():
            colour = ORANGE if lr == rate else GREY
            ax.plot([lr] * len(values), values, "o", color=colour, markersize=9, alpha=0.75, markeredgecolor="white")
        firsts = [values[0] for values in scores.values()]
        ax.plot(list(scores), firsts, color=GREY, linewidth=1.2, zorder=0)
        ax.set(xscale="log", xticks=list(scores), xlabel="learning rate", title=KINDS[key].name)
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticklabels([f"{lr:g}" for lr in scores])
        ax.set_xlim(min(scores) / 1.8, max(scores) * 1.8)
    axes[0][0].set(ylabel=f"{split}, right (%)", ylim=(-3, 103))
    return fig


def two_tasks_figure(table: RivalsTable, python: Mapping[str, Summary]) -> CourseFigure:
    """Each method on both tasks: Python source across (bits per byte, better to the right), text-to-SQL up."""
    both = [row for row in table if row.key in python]
    place = sorted(python[row.key].mean for row in both).index(python["lora"].mean) + 1
    first = sorted(-row.test.mean for row in both).index(-table["lora"].test.mean) + 1
    title = f"LoRA r = 8 among {len(both)} methods: number {first} on SQL, number {place} on Python source"
    fig, ax = figure(title, size=(10, 4.6))
    heights = apart({row.key: row.test.mean for row in both}, 0.75, 0, 100)
    right = min(s.low for s in python.values()) - 0.12
    for row in both:
        s, colour = python[row.key], BLUE if row.key == "lora" else BLACK
        ax.plot([s.low, s.high], [row.test.mean] * 2, color=colour, linewidth=6, alpha=0.3, solid_capstyle="butt")
        ax.plot(
            [s.mean] * 2, [row.test.low, row.test.high], color=colour, linewidth=6, alpha=0.3, solid_capstyle="butt"
        )
        ax.plot([s.mean], [row.test.mean], "o", color=colour, markersize=9)
        ax.plot([s.mean, right], [row.test.mean, heights[row.key]], color=colour, linewidth=0.6, alpha=0.5)
        ax.text(right - 0.02, heights[row.key], row.name, va="center", color=colour, fontsize=13)
    ax.set(xlabel="Python source, bits per byte (lower is better)", ylabel="SQL, test right (%)")
    ax.set_xlim(max(s.high for s in python.values()) + 0.1, right - 0.55)
    return fig
