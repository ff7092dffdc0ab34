"""Choose a cost: every method's accuracy over it. Choose a method: its measured facts in words."""

from collections.abc import Sequence
from itertools import zip_longest
from math import log10

from matplotlib.ticker import MaxNLocator

from lorakit.chapters.against_the_others.plots import MEASURES, apart, beside, seen_well
from lorakit.chapters.against_the_others.table import Rival, RivalsTable, percent, rivals_table
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


def points(table: RivalsTable, cost: str, split: str = "test") -> dict[str, tuple[float, float, float, float]]:
    """By key: the cost, and the mean, lowest and highest accuracy over the seeds, in percent."""
    of = MEASURES[cost][0]
    scores = {row.key: getattr(row, split) for row in table}
    return {row.key: (of(row), scores[row.key].mean, scores[row.key].low, scores[row.key].high) for row in table}


def facts(row: Rival, table: RivalsTable) -> str:
    """One method in words, from its row: what it trains, how good it is, what it costs, what it is left as."""
    full, lora = table["full"], table["lora"]
    words = {"above": "above LoRA's seeds", "below": "below LoRA's seeds", "level": "within reach of LoRA's seeds"}
    where = "" if row is lora else f", {words[beside(row, lora)]}"
    n = row.test.n
    trains = f"{row.trained:,} numbers train ({row.share:.3g} % of the base)"
    if row.kept != row.trained:
        trains += f", {row.kept:,} are kept"
    base = {"frozen": "keeps every bit", "changed": "is changed", "replaced": "is not what answers"}[row.left]
    mixes = {"yes": "rows of a batch can have different tasks", "no": "a batch has one task"}.get(
        row.kind.mix, "rows of a batch could have different tasks, which lorakit has not built"
    )
    return "\n".join(
        [
            f"{row.name}: {row.kind.idea}. {trains}; learning rate {row.lr:g}",
            f"test {percent(row.test)} %{where}, validation {percent(row.validation)} %"
            + (f", {n} seeds" if n > 1 else ""),
            f"training step {row.memory / 1e6:.0f} MB ({row.memory / full.memory:.0%} of full fine-tuning's); "
            f"reading a prompt {row.prefill[0]:.2f} ×, writing a token {row.decode[0]:.2f} × the base's time",
            f"{row.context} positions left for prompt and answer; the base {base}; "
            f"mergeable: {row.kind.merge.replace('—', 'nothing to merge')}; {mixes}",
        ]
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
            ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low - 0.02 * room, high + 0.02 * room).tolist()
            low, high = low - 0.02 * room, high + 0.02 * room
        self.low, self.high = self.of(low), self.of(high)
        self.ticks = [round(tick, 9) for tick in ticks if low <= tick <= high][:7]

    def __call__(self, x: float) -> float:
        return (self.of(x) - self.low) / (self.high - self.low)


class RivalsExplorer(Explorer):
    """See `rivals_explorer`."""

    size = (10, 4.6)

    def __init__(self, table: RivalsTable, title: str):
        self.table = table
        self.keys = {row.name: row.key for row in table}
        controls = {
            "cost": Choice("across", tuple(COSTS), "memory of a training step"),
            "split": Choice("accuracy on", tuple(SPLITS), next(iter(SPLITS))),
            "method": Choice("method", tuple(self.keys), table["lora"].name),
        }
        super().__init__(title, controls)

    def compute(self, cost: str, split: str, method: str) -> dict:
        name = COSTS[cost]
        return {
            "cost": name,
            "points": points(self.table, name, SPLITS[split]),
            "split": SPLITS[split],
            "chosen": self.keys[method],
        }

    def draw(self, figure, data):
        ax = figure.subplots()
        scores = [getattr(row, split).low for split in SPLITS.values() for row in seen_well(self.table, split)]
        bottom = max(0, 5 * (min(scores) // 5) - 5)
        ax.set(xlim=(-0.05, 1.45), ylim=(bottom, 101), ylabel="answers right (%)", xticks=[])
        ax.grid(True, axis="y")
        ax.spines["bottom"].set_visible(False)
        # The axis is drawn as text, from 0 to 1: an explorer's own ticks stay where they were drawn first.
        self.step, self.height = (101 - bottom) / 17, bottom - (101 - bottom) / 50
        self.ticks = [ax.text(0, self.height, "", ha="center", va="top", fontsize=13, clip_on=False) for _ in range(7)]
        ax.set_xlabel(" \n ", fontsize=13)  # keeps the room for it
        below = self.height - 1.25 * self.step
        self.label = ax.text(0.5, below, "", ha="center", va="top", fontsize=13, clip_on=False)
        self.artists = {}
        for key in data["points"]:
            (bar,) = ax.plot([], [], linewidth=6, alpha=0.3, solid_capstyle="butt")
            (line,) = ax.plot([], [], linewidth=0.8)
            (dot,) = ax.plot([], [], "o", markersize=10)
            self.artists[key] = bar, line, dot, ax.text(0, 0, self.table[key].name, fontsize=13, va="center")
        self.limits = bottom + self.step / 2, 100
        self.move(data)
        return [*(artist for group in self.artists.values() for artist in group), *self.ticks, self.label]

    def move(self, data):
        places = apart({key: mean for key, (_, mean, _, _) in data["points"].items()}, self.step, *self.limits)
        at = Scale([x for x, *_ in data["points"].values()], MEASURES[data["cost"]][2])
        for key, (x, mean, low, high) in data["points"].items():
            colour = ORANGE if key == data["chosen"] else BLUE if key == "lora" else BLACK
            bar, line, dot, name = self.artists[key]
            below = mean < self.limits[0]  # a dot on the frame, with its number
            height = max(mean, self.limits[0])
            bar.set_data([at(x)] * 2, [height, height] if below else [low, high])
            line.set_data([at(x), 1.07], [height, places[key]])
            dot.set(data=([at(x)], [height]), marker="v" if below else "o")
            name.set(position=(1.08, places[key]), weight="bold" if key == data["chosen"] else "normal")
            name.set_text(self.table[key].name + (f" ({mean:.1f})" if below else ""))
            for artist in (bar, line, dot, name):
                artist.set_color(colour)
        for text, tick in zip_longest(self.ticks, at.ticks):
            text.set(text="" if tick is None else f"{tick:g}", x=0 if tick is None else at(tick))
        self.label.set_text(MEASURES[data["cost"]][1])

    def describe(self, data):
        return facts(self.table[data["chosen"]], self.table)


def rivals_explorer(table: RivalsTable | None = None, title: str = "What does accuracy cost?") -> RivalsExplorer:
    """Widget: a cost across and accuracy up, a dot with its seeds' range for each method; one method in words."""
    return RivalsExplorer(table or rivals_table(), title)
