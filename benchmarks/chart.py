"""The charts of benchmarks/layer.py and benchmarks/scaling.py."""

import itertools
import math
from pathlib import Path

import pandas as pd

from lorakit.show.style import PALETTE, figure, png


def draw_layers(result: dict, file: Path) -> None:
    """What each library adds to one frozen projection, over the limit, by tokens: for forward and step, fp32 and bf16.

    The first shape; what is within the noise is no point.
    """
    rows = [row for row in result["rows"] if row["shape"] == result["rows"][0]["shape"] and " tokens" in row["what"]]
    kinds = [kind for kind in ("", ", bf16") if any(row["what"].endswith(f"tokens{kind}") for row in rows)]
    title = "Time added to one frozen projection, over the limit by operations and bytes"
    fig, axes = figure(title, rows=2, columns=len(kinds), size=(10, 7), squeeze=False, sharex=True, sharey=True)
    for (job, kind), ax in zip(itertools.product(("forward", "step"), kinds), axes.flat, strict=True):
        here = [row for row in rows if row["what"].startswith(job) and row["what"].endswith(f"tokens{kind}")]
        tokens = [int(row["what"].split()[1]) for row in here]
        for name, colour in zip(rows[0]["added"], PALETTE, strict=False):
            times = [
                row["added"][name] / row["limit"] if row["added"][name] > row["noise"] else math.nan for row in here
            ]
            ax.loglog(tokens, times, "o-", color=colour, label=name)
        ax.axhline(1, color="black", linewidth=1)
        ax.set(title=f"{job}, {kind[2:] or 'float32'}", xticks=tokens, xticklabels=tokens)
        ax.set(yticks=(1, 3, 10, 30), yticklabels=(1, 3, 10, 30))
        ax.minorticks_off()
    fig.supxlabel("tokens")
    fig.supylabel("added time, times the limit")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    file.write_bytes(png(fig))


def draw_scaling(found: dict, file: Path) -> None:
    """Time of each verb, in ms, over the adapters in the model and over its depth; and the adapters' numbers, in MB."""
    resident = pd.DataFrame(found["resident"]).set_index("adapters")
    depth = pd.DataFrame(found["depth"]).set_index("blocks")
    resident["MB of numbers"] = resident.index * resident["bytes"] / 1e6
    resident = resident.drop(columns=["bytes", "bytes beside"])
    fig, axes = figure("What grows with the number of adapters, and with depth", columns=2, size=(11, 4.5), sharey=True)
    colours = dict(zip(["switch", "using one", "using rows", "inject and eject"], PALETTE, strict=False))
    for ax, table in zip(axes, (resident, depth), strict=True):
        for name in table:
            look = "--" if name.startswith("MB") else "o-"
            ax.loglog(table.index, table[name], look, color=colours.get(name, "black"), label=name)
        ax.set(xlabel=table.index.name, xticks=table.index, xticklabels=table.index)
        ax.minorticks_off()
        ax.legend()
    axes[0].set(ylabel="ms (dashed: MB)")
    file.write_bytes(png(fig))
