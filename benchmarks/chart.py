"""The benchmark's chart: what each library adds to the frozen base, row by row."""

import itertools
import math
from pathlib import Path

from lorakit.show.style import BLUE, GREEN, GREY, ORANGE, PALETTE, figure, png

COLOURS = {"lorakit": BLUE, "peft": ORANGE, "loralib": GREEN}
NAMES = {"lorakit": "lorakit", "peft": "PEFT", "loralib": "loralib"}


def draw(result: dict, file: Path) -> None:
    """Overheads over the base in %, with the noise floor as a grey band, as a PNG."""
    rows = [row for row in result["rows"] if "overhead" in row["what"]]
    fig, ax = figure(f"Added to the frozen base's time ({result['shape'].split(',')[0]})", size=(10, 4))
    for place, row in enumerate(rows):
        noise = 100 * row["noise"]
        ax.fill_between([-noise, noise], place - 0.42, place + 0.42, color=GREY, alpha=0.3, linewidth=0)
        for number, (name, colour) in enumerate(COLOURS.items()):
            if name in row:
                label = NAMES[name] if place == 0 else None
                ax.barh(place - 0.26 + 0.26 * number, 100 * row[name], height=0.24, color=colour, label=label)
    ax.axvline(0, color="black", linewidth=1)
    ax.set(yticks=range(len(rows)), yticklabels=[row["what"].replace(", overhead", "") for row in rows])
    ax.set(xlabel="overhead (%), grey: the base against itself")
    ax.invert_yaxis()
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(png(fig))


def draw_layers(result: dict, file: Path) -> None:
    """What each library adds to one frozen projection, over the limit, by tokens: for forward and step, fp32 and bf16.

    The first shape; what is within the noise is no point.
    """
    rows = [row for row in result["rows"] if row["shape"] == result["rows"][0]["shape"] and " tokens" in row["what"]]
    kinds = [kind for kind in ("", ", bf16") if any(row["what"].endswith(f"tokens{kind}") for row in rows)]
    title = "Time added to one frozen projection, over what its operations would take"
    fig, axes = figure(title, rows=2, columns=len(kinds), size=(10, 7), squeeze=False, sharex=True, sharey=True)
    for (job, kind), ax in zip(itertools.product(("forward", "step"), kinds), axes.flat, strict=True):
        here = [row for row in rows if row["what"].startswith(job) and row["what"].endswith(f"tokens{kind}")]
        tokens = [int(row["what"].split()[1]) for row in here]
        for name, colour in zip(rows[0]["added"], PALETTE, strict=False):
            times = [
                row["added"][name] / row["limit"] if row["added"][name] > row["noise"] else math.nan for row in here
            ]
            ax.loglog(tokens, times, "o-", color=colour, label=NAMES.get(name, name))
        ax.axhline(1, color="black", linewidth=1)
        ax.set(title=f"{job}, {kind[2:] or 'float32'}", xticks=tokens, xticklabels=tokens)
        ax.set(yticks=(1, 3, 10, 30), yticklabels=(1, 3, 10, 30))
        ax.minorticks_off()
    fig.supxlabel("tokens")
    fig.supylabel("added time, times the limit")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    file.write_bytes(png(fig))
