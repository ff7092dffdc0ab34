"""Choose a cost: every method's accuracy over it. Choose a method: its measured facts in words."""

from collections.abc import Sequence
from itertools import zip_longest
from math import log10

import pandas as pd
from matplotlib.ticker import MaxNLocator

from lorakit.chapters.against_the_others.plots import BAR, MEASURES, apart, seen_well
from lorakit.chapters.against_the_others.table import percent
from lorakit.show.explorer import Choice, Explorer
from lorakit.show.style import BLACK, BLUE, ORANGE

COSTS = {
    "trained share": "share",
    "memory of a training step": "memory",
    "time to read a prompt": "prefill",
    "time to write a token": "decode",
    "context left": "context",
}
SPLITS = {"test (new wordings)": "test", "validation (known wordings)": "validation"}
BESIDE = {"above": "above LoRA's seeds", "below": "below LoRA's seeds", "level": "within reach of LoRA's seeds"}
BASE = {"frozen": "keeps every bit", "changed": "is changed", "replaced": "is not what answers"}
MIXES = {
    "yes": "rows of a batch can have different tasks",
    "no": "a batch has one task",
    "could": "rows of a batch could have different tasks, which lorakit has not built",
}


def facts(table: pd.DataFrame, key: str) -> str:
    """One method in words: what it trains, how good it is, what it costs, what it leaves of the base."""
    row = table.loc[key]
    where = "" if key == "lora" else f", {BESIDE[row['beside']]}"
    kept = f", {row['kept']:,} are kept" if row["kept"] != row["trained"] else ""
    seeds = f", {row['seeds']} seeds" if row["seeds"] > 1 else ""
    memory = f"{row['memory']:.0f} MB ({row['memory'] / table['memory']['full']:.0%} of full fine-tuning's)"
    return (
        f"{row['method']}: {row['idea']}. {row['trained']:,} numbers train ({row['share']:.3g} % of the base){kept}; "
        f"learning rate {row['lr']:g}\n"
        f"test {percent(row, 'test')} %{where}, validation {percent(row, 'validation')} %{seeds}\n"
        f"training step {memory}; "
        f"reading a prompt {row['prefill']:.2f} ×, writing a token {row['decode']:.2f} × the base's time\n"
        f"{row['context']} positions left for prompt and answer; the base {BASE[row['base']]}; "
        f"mergeable: {row['merges'].replace('—', 'nothing to merge')}; {MIXES[row['mixes']]}"
    )


class Scale:
    """Numbers to places from 0 to 1, linear or logarithmic, with round `ticks` between them."""

    def __init__(self, values: Sequence[float], log: bool):
        self.of = log10 if log else float
        low, high = min(values), max(values)
        if log:
            ticks = [base * 10**k for k in range(-4, 4) for base in (1, 3)]
        else:
            room = (high - low) or abs(high) or 1.0
            low, high = low - 0.02 * room, high + 0.02 * room
            ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high).tolist()
        self.low, self.high = self.of(low), self.of(high)
        self.ticks = [round(tick, 9) for tick in ticks if low <= tick <= high][:7]

    def __call__(self, x: float) -> float:
        return (self.of(x) - self.low) / (self.high - self.low)


class RivalsExplorer(Explorer):
    """Widget: a cost across and accuracy up, a dot with its seeds' range for each method; one method in words.

    table  as `rivals_table` makes it
    """

    size = (10, 4.6)

    def __init__(self, table: pd.DataFrame):
        self.table = table
        self.names = table["method"]
        controls = {
            "cost": Choice("across", tuple(COSTS), "memory of a training step"),
            "split": Choice("accuracy on", tuple(SPLITS), next(iter(SPLITS))),
            "method": Choice("method", tuple(self.names), self.names["lora"]),
        }
        super().__init__("What does accuracy cost?", controls)

    def compute(self, cost: str, split: str, method: str) -> dict:
        """The cost's column, the chosen key, and by key the cost `x` and the accuracy `y` with its seeds' range."""
        name, y = COSTS[cost], SPLITS[split]
        points = self.table[[name, y, f"{y}_low", f"{y}_high"]].set_axis(["x", "y", "low", "high"], axis="columns")
        return {"cost": name, "points": points, "chosen": self.names[self.names == method].index[0]}

    def draw(self, figure, data):
        ax = figure.subplots()
        lowest = min(seen_well(self.table, split)[f"{split}_low"].min() for split in SPLITS.values())
        bottom = max(0, 5 * (lowest // 5) - 5)
        ax.set(xlim=(-0.05, 1.45), ylim=(bottom, 101), ylabel="answers right (%)", xticks=[])
        ax.grid(True, axis="y")
        ax.spines["bottom"].set_visible(False)
        # The axis is drawn as text, from 0 to 1: an explorer's own ticks stay where they were drawn first.
        self.step = (101 - bottom) / 17
        height = bottom - (101 - bottom) / 50
        below = dict(ha="center", va="top", fontsize=13, clip_on=False)
        self.ticks = [ax.text(0, height, "", **below) for _ in range(7)]
        self.label = ax.text(0.5, height - 1.25 * self.step, "", **below)
        ax.set_xlabel(" \n ", fontsize=13)  # keeps the room for it
        self.artists = {}
        for key, name in self.names.items():
            (bar,) = ax.plot([], [], **BAR)
            (line,) = ax.plot([], [], linewidth=0.8)
            (dot,) = ax.plot([], [], "o", markersize=10)
            self.artists[key] = bar, line, dot, ax.text(0, 0, name, fontsize=13, va="center")
        self.limits = bottom + self.step / 2, 100
        self.move(data)
        return [*(artist for group in self.artists.values() for artist in group), *self.ticks, self.label]

    def move(self, data):
        points, (label, log) = data["points"], MEASURES[data["cost"]]
        places = apart(points["y"].to_dict(), self.step, *self.limits)
        at = Scale(points["x"].tolist(), log)
        for key, x, y, low, high in points.itertuples():
            bar, line, dot, name = self.artists[key]
            below = y < self.limits[0]  # a dot on the frame, with its number
            height = max(y, self.limits[0])
            bar.set_data([at(x)] * 2, [height, height] if below else [low, high])
            line.set_data([at(x), 1.07], [height, places[key]])
            dot.set(data=([at(x)], [height]), marker="v" if below else "o")
            name.set(position=(1.08, places[key]), weight="bold" if key == data["chosen"] else "normal")
            name.set_text(self.names[key] + (f" ({y:.1f})" if below else ""))
            for artist in self.artists[key]:
                artist.set_color(ORANGE if key == data["chosen"] else BLUE if key == "lora" else BLACK)
        for text, tick in zip_longest(self.ticks, at.ticks):
            text.set(text="" if tick is None else f"{tick:g}", x=0 if tick is None else at(tick))
        self.label.set_text(label)

    def describe(self, data):
        return facts(self.table, data["chosen"])
