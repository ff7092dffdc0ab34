"""Slide the learning rate and watch the winner change."""

import pandas as pd

from lorakit.chapters.variants.plots import LOOKS
from lorakit.chapters.variants.table import curves
from lorakit.show.explorer import Explorer, Steps
from lorakit.show.style import BLACK


class RateExplorer(Explorer):
    """Widget: the learning rate → what each variant tried there costs on validation, and who wins.

    runs   as `records.load("variants")` gives them; shown is the mean of the two seeds that choose
    """

    size = (10, 4.4)

    def __init__(self, runs: pd.DataFrame, title: str):
        self.curves = curves(runs)
        self.names = {f"{lr:g}": lr for lr in self.curves.index}
        most = self.curves.count(axis=1).idxmax()
        super().__init__(title, {"lr": Steps("learning rate", tuple(self.names), f"{most:g}")})

    def compute(self, lr: str) -> dict:
        """Bits per byte, best first: "bits" of who was tried at this rate, "best" of each at its own."""
        bits = self.curves.loc[self.names[lr]].dropna().sort_values()
        return {"lr": self.names[lr], "bits": bits, "best": self.curves.min().sort_values()}

    def draw(self, figure, data):
        ax = figure.subplots()
        best, middle = self.curves.min().min(), self.curves.stack().median()
        self.low, self.high = best - 0.04, middle + 0.8 * (middle - best)  # what diverges would eat the scale
        for name, line in self.curves.items():
            colour, marker = LOOKS[name]
            ax.plot(line.dropna(), color=colour, marker=marker, linewidth=1.8, label=name)
        ax.set(xscale="log", xlabel="learning rate (LoRA+: A's)", ylim=(self.low, self.high))
        ax.set(ylabel="validation, bits per byte (lower is better)")
        ax.grid(True)
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        (self.line,) = ax.plot([], [], "--", color=BLACK, linewidth=1.2)
        (self.ring,) = ax.plot([], [], "o", markersize=18, markerfacecolor="none", color=BLACK)
        self.move(data)
        return [self.line, self.ring]

    def move(self, data):
        self.line.set_data([data["lr"]] * 2, [self.low, self.high])
        self.ring.set_data([data["lr"]], [min(data["bits"].iloc[0], self.high)])

    def describe(self, data):
        here, own = (" · ".join(f"{name} {bits:.2f}" for name, bits in data[key].items()) for key in ("bits", "best"))
        return f"all at {data['lr']:g}: {here}\neach at its own rate: {own}"
