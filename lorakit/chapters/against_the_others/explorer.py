"""Choose a cost: every method's accuracy over it. Choose a method: its measured facts in words."""

import pandas as pd

from lorakit.chapters.against_the_others.plots import BAR, LORAS, MEASURES, SHARES, name_dots, seen_well
from lorakit.chapters.against_the_others.table import percent
from lorakit.show.explorer import Choice, Explorer
from lorakit.show.style import BLACK, BLUE, ORANGE, log_x

COSTS = {label: name for name, label in MEASURES.items() if name != "test"}
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


class RivalsExplorer(Explorer):
    """Widget: a cost across and accuracy up, a dot with its seeds' range for each method; one method in words.

    table  as `rivals_table` makes it
    """

    size = (10, 4.6)

    def __init__(self, table: pd.DataFrame):
        self.table = table
        self.names = table["method"]
        controls = {
            "cost": Choice("across", tuple(COSTS), MEASURES["memory"]),
            "method": Choice("method", tuple(self.names), self.names["lora"]),
        }
        super().__init__("What does accuracy cost?", controls)

    def compute(self, cost: str, method: str) -> dict:
        """What lies across, the chosen key, and by key the cost `x`, the accuracy `y`, and its seeds' range."""
        points = self.table[[COSTS[cost], "test", "test_low", "test_high"]]
        points = points.set_axis(["x", "y", "low", "high"], axis="columns")
        return {"cost": cost, "points": points, "chosen": self.names[self.names == method].index[0]}

    def draw(self, figure, data):
        ax = figure.subplots()
        bottom = max(0, 5 * (seen_well(self.table)["test_low"].min() // 5) - 5)
        points = data["points"].assign(name=self.names, colour=BLACK)
        points.loc[points.index.isin(LORAS), "colour"] = BLUE
        below = points["y"] < bottom  # a mark on the frame, and the number beside the name
        points.loc[below, "name"] += points["y"].map(" ({:.1f})".format)
        points["y"] = points["y"].clip(lower=bottom)
        for key, x, y, low, high, _, colour in points.itertuples():
            ax.plot([x, x], [low, high], color=colour, **BAR)
            ax.plot([x], [y], "v" if below[key] else "o", color=colour, markersize=10, clip_on=False)
        chosen = points.loc[data["chosen"]]
        ax.plot([chosen["x"]], [chosen["y"]], "o", color=ORANGE, markersize=20, markerfacecolor="none", mew=3)
        ax.set(ylim=(bottom, 101), xlabel=data["cost"], ylabel=MEASURES["test"])
        ax.grid(True, axis="y")
        if data["cost"] == MEASURES["share"]:
            log_x(ax, SHARES)
        name_dots(ax, points)
        return []

    def describe(self, data):
        return facts(self.table, data["chosen"])
