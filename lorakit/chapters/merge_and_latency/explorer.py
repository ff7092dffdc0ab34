"""Pick a model, a batch and a length: what each method adds to the base's time, recorded, or measured here."""

import pandas as pd

from lorakit.chapters.merge_and_latency.contenders import contenders, gpt2_of_size, measure
from lorakit.chapters.merge_and_latency.grid import KEY, cell_of, frame
from lorakit.chapters.merge_and_latency.plots import LOOKS, NAMES
from lorakit.show.button import ButtonExplorer
from lorakit.show.explorer import Choice, Steps
from lorakit.show.style import BLACK, GREY

PHASES = {"reading a prompt": "prefill", "writing a token": "decode"}


class LatencyExplorer(ButtonExplorer):
    """Widget: model, phase, batch, length → what each method adds to the base's time, as recorded (`grid.recorded`).

    The button times the chosen cell on this machine for about ten seconds, and adds stars.
    """

    size = (10, 3.4)
    label, icon = "measure this here", "clock-o"

    def __init__(self, grid: pd.DataFrame):
        self.cells = {key: rows.set_index("method") for key, rows in grid.groupby(KEY, sort=False)}
        self.live = {}
        self.most = max(20, 2 * grid["added"].max())  # %, the edge of the picture: a slower machine's stars fit too
        options = {name: tuple(sorted(set(grid[name].tolist()))) for name in ("size", "batch", "length")}
        controls = {
            "size": Choice("model", options["size"], options["size"][0]),
            "phase": Choice("doing", tuple(PHASES), "reading a prompt"),
            "batch": Steps("batch", options["batch"], options["batch"][0]),
            "length": Steps("length", options["length"], options["length"][0]),
        }
        super().__init__("What does it add?", controls)

    def compute(self, size: str, phase: str, batch: int, length: int) -> dict:
        """The cell asked for and measured here, if it was ("asked", "live"); the nearest recorded one ("key", "cell").

        A cell has a row for each method.
        """
        asked = (size, PHASES[phase], batch, length)
        keys = [key for key in self.cells if key[:2] == asked[:2]]
        key = min(keys, key=lambda key: abs(key[2] - batch) / batch + abs(key[3] - length) / length)
        return {"asked": asked, "live": self.live.get(asked), "key": key, "cell": self.cells[key]}

    def draw(self, figure, data):
        ax, names, ends = figure.subplots(), list(NAMES.values()), (-self.most / 6, self.most)
        noise, added = data["cell"]["noise"].iloc[0], data["cell"].loc[list(LOOKS), "added"]
        ax.axvspan(-noise, noise, color=GREY, alpha=0.3, linewidth=0)
        bars = ax.barh(names, added.clip(*ends), color=[colour for _, colour in LOOKS.values()], height=0.6)
        ax.bar_label(bars, [f"{value:+.1f} %" for value in added], padding=6, fontsize=13)
        if data["live"] is not None:
            ax.plot(data["live"].loc[list(LOOKS), "added"].clip(*ends), names, "*", color=BLACK, markersize=15)
        ax.axvline(0, color=BLACK, linewidth=1)
        ax.set(xlim=(-self.most / 5, self.most * 1.2))
        ax.set(xlabel="added to the base's time (%); grey: the noise floor; ★: measured here")
        ax.invert_yaxis()
        return []

    def describe(self, data):
        (size, phase, batch, length), cell, live = data["key"], data["cell"], data["live"]
        doing = "reading" if phase == "prefill" else "writing behind"
        near = "recorded" if data["key"] == data["asked"] else "not recorded; the nearest"
        each = " a token" if phase == "decode" else ""
        base = cell.loc["base"]
        line = f"{near}: {size}, {doing} {batch} × {length} tokens: the base takes "
        line += f"{base['ms']:.1f} ms{each}; noise ± {base['noise']:.1f} %"
        slower = cell.index[cell["verdict"] == "slower"].map(NAMES)
        line += f"\nslower than the base beyond the noise: {', '.join(slower) or 'none'}"
        if live is not None:
            base = live.loc["base"]
            line += f"\n★ measured here: the base {base['ms']:.1f} ms, noise ± {base['noise']:.1f} %"
        return line

    def act(self) -> None:
        """Measure the chosen cell here and now, for about ten seconds; its ratios are added as stars."""
        asked = self.data["asked"]
        found = measure(contenders(gpt2_of_size(asked[0])), *asked[1:], repeats=4, seconds=10)
        self.live[asked] = frame([cell_of(asked, found)]).set_index("method")
        self.set()

    def busy(self) -> str:
        return "measuring ..."
