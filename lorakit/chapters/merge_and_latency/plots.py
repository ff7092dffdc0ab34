"""Pictures of recorded latencies: what each method adds to the base's time, beside the noise floor."""

from collections.abc import Sequence

from lorakit.chapters.merge_and_latency.recorded import Cell, Recording
from lorakit.show.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, CourseFigure, figure

LOOKS = {
    "merged": (GREY, "o-"),
    "unmerged": (BLUE, "s-"),
    "houlsby": (ORANGE, "^-"),
    "pfeiffer": (GREEN, "D-"),
    "prefix": (PURPLE, "v-"),
}
NAMES = {
    "merged": "LoRA, merged",
    "unmerged": "LoRA, unmerged",
    "houlsby": "Houlsby adapters",
    "pfeiffer": "Pfeiffer adapters",
    "prefix": "prefix tuning",
}
# Hu et al. 2021, Table 1: GPT-2 medium on a Quadro RTX 8000, (batch, length) → (ms of fine-tuning/LoRA, what AdapterL
# and AdapterH add in %).
PAPER = {(32, 512): (1449.4, 2.2, 3.0), (16, 256): (338.0, 5.0, 8.4), (1, 128): (19.8, 20.7, 30.3)}


def range_words(cells: Sequence[Cell], method: str) -> str:
    """ "+3 to +18 %": what the method adds, over the cells."""
    added = [100 * cell.added(method) for cell in cells]
    return f"{min(added):+.0f} to {max(added):+.0f} %"


def added_figure(recording: Recording, size: str, phase: str = "prefill") -> CourseFigure:
    """What every method adds to the base's time over the tokens that go through at once; grey band: the noise."""
    cells = recording.of(size, phase)
    first, last = cells[0], cells[-1]
    what = "reading a prompt" if phase == "prefill" else "writing a token"
    title = (
        f"{size}, {what}: Houlsby adds {100 * first.added('houlsby'):.0f} % at {_tokens(first)}, "
        f"{100 * last.added('houlsby'):.0f} % at {_tokens(last)}"
    )
    fig, ax = figure(title, size=(10, 4.2))
    places = range(len(cells))
    noise = [100 * cell.noise for cell in cells]
    ax.fill_between(places, [-n for n in noise], noise, color=GREY, alpha=0.25, linewidth=0, label="noise floor")
    for method, (colour, look) in LOOKS.items():
        ratios = [cell.jobs[method] for cell in cells]
        middle = [100 * (job.ratio - 1) for job in ratios]
        below = [max(m - 100 * (job.interval[0] - 1), 0) for m, job in zip(middle, ratios, strict=True)]
        above = [max(100 * (job.interval[1] - 1) - m, 0) for m, job in zip(middle, ratios, strict=True)]
        ax.errorbar(places, middle, yerr=[below, above], fmt=look, color=colour, capsize=3, label=NAMES[method])
    labels = [f"{c.batch} ×\n{c.length}" if phase == "prefill" else f"{c.batch}" for c in cells]
    ax.set(xticks=list(places), xticklabels=labels, ylabel="added to the base's time (%)")
    ax.set_xlabel("batch × length, by the number of tokens" if phase == "prefill" else "rows that write at once")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def _tokens(cell: Cell) -> str:
    tokens = cell.tokens
    return f"{tokens:,} tokens" if tokens > 1 else "1 token"


def paper_table(recording: Recording) -> str:
    """The paper's Table 1 and the same cells here, where they were measured."""
    lines = [
        f"{'batch × length':16}{'paper, AdapterL':>17}{'AdapterH':>10}{'here, Pfeiffer':>16}{'Houlsby':>9}{'noise':>8}"
    ]
    for (batch, length), (_, lighter, houlsby) in PAPER.items():
        cell = recording.cell("355M", "prefill", batch, length)
        line = f"{f'{batch} × {length}':16}{lighter:+16.1f}%{houlsby:+9.1f}%"
        if cell:
            here = [100 * cell.added(name) for name in ("pfeiffer", "houlsby")]
            line += f"{here[0]:+15.1f}%{here[1]:+8.1f}%{100 * cell.noise:7.1f}%"
        lines.append(line if cell else f"{line}{'not measured on this device':>33}")
    return "\n".join(lines)


def verdict_table(cells: Sequence[Cell], method: str) -> str:
    """How often a method was slower than the base beyond the noise, faster, or neither."""
    found = [cell.verdicts[method] for cell in cells]
    return ", ".join(f"{found.count(word)} × {word}" for word in ("slower", "noise", "faster") if word in found)


def switch_figure(milliseconds: dict[str, float]) -> CourseFigure:
    """Ways to go from one task to another, in ms, on a log axis."""
    names = list(milliseconds)
    slowest, fastest = (pick(milliseconds, key=milliseconds.get) for pick in (max, min))
    ratio = milliseconds[slowest] / milliseconds[fastest]
    fig, ax = figure(f"{slowest} takes {ratio:,.0f} × as long as {fastest}", size=(9, 2.8))
    ax.barh(names, list(milliseconds.values()), color=[BLUE, ORANGE, GREEN, RED][: len(names)], height=0.6)
    for place, value in enumerate(milliseconds.values()):
        ax.text(value * 1.1, place, f"{value:.2g} ms", va="center")
    ax.set(xscale="log", xlabel="time (ms)", xlim=(min(milliseconds.values()) / 3, max(milliseconds.values()) * 4))
    ax.invert_yaxis()
    ax.grid(False)
    return fig
