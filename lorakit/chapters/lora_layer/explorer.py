"""Sliders for alpha and r: the factor in front of B A, and how much the update then moves the output."""

import pandas as pd

from lorakit.core.config import LoRAConfig
from lorakit.show.explorer import Choice, Explorer, Steps, Toggle
from lorakit.show.style import BLUE, ORANGE
from lorakit.study.scaling import example_factors, unit_size

RANKS = (1, 2, 4, 8, 16, 32, 64)
ALPHAS = (1, 2, 4, 8, 16, 32, 64)
KINDS = {"random: they partly cancel": "random", "aligned: one Adam step, they add up": "aligned"}


class AlphaRankExplorer(Explorer):
    """Widget: r, alpha and use_rslora → the scaling, ‖ΔW‖ and the change of the output, with curves over r.

    It compares two examples: directions at random, and directions that one Adam step has aligned.
    """

    size = (9.5, 3.7)

    def __init__(self):
        self.units = {}  # of each kind a row for each rank: the sizes at scaling 1
        for label, kind in KINDS.items():
            draws = [example_factors(kind, seed=seed) for seed in range(24)]
            self.units[label] = pd.DataFrame([unit_size(draws, r) for r in RANKS], RANKS, ["norm", "change"])
        controls = {
            "r": Steps("rank r", RANKS, 8),
            "alpha": Steps("alpha", ALPHAS, 16),
            "use_rslora": Toggle("use_rslora: divide by √r instead of r", False),
            "directions": Choice("the r terms", tuple(KINDS), next(iter(KINDS))),
        }
        super().__init__("What alpha and r do to the size of the update", controls)

    def compute(self, r: int, alpha: float, use_rslora: bool, directions: str) -> dict:
        """By rule, plain (False) or rank-stabilised, a row for each rank: scaling, norm of ΔW, change of the output."""
        rules = {}
        for rule in (False, True):
            factors = [LoRAConfig(r=q, alpha=alpha, use_rslora=rule).scaling_of("") for q in RANKS]
            rules[rule] = self.units[directions].mul(factors, axis=0).assign(scaling=factors)
        return {"r": r, "alpha": alpha, "use_rslora": use_rslora, "rules": rules, "now": rules[use_rslora].loc[r]}

    def draw(self, figure, data):
        left, right = figure.subplots(1, 2)
        self.axes = {"scaling": left, "change": right}
        ticks = dict(xticks=RANKS, xticklabels=RANKS, xlabel="rank r", xlim=(0.85, RANKS[-1] / 0.85))
        top = ALPHAS[-1] * 1.5
        left.set(xscale="log", yscale="log", ylim=(1 / RANKS[-1] / 1.5, top), **ticks)
        right.set(xscale="log", yscale="log", ylim=(6e-4, 8), **ticks)  # all that the controls can choose
        left.set_title("the factor in front of B A", weight="normal", fontsize=13)
        right.set_title("how far the output moves (RMS)", weight="normal", fontsize=13)
        self.lines, self.dots = {}, {}
        for column, ax in self.axes.items():
            ax.minorticks_off()
            ax.grid(True)
            for rule, label in ((False, "alpha / r"), (True, "alpha / √r")):
                (self.lines[column, rule],) = ax.plot([], [], "-", color=ORANGE if rule else BLUE, label=label)
            (self.dots[column],) = ax.plot([], [], "o", markersize=13, markeredgecolor="white")
        left.legend(loc="lower left")
        self.move(data)
        return [*self.lines.values(), *self.dots.values()]

    def move(self, data):
        for (column, rule), line in self.lines.items():
            chosen = rule == data["use_rslora"]
            line.set_data(RANKS, data["rules"][rule][column])
            line.set(linewidth=3.2 if chosen else 1.8, linestyle="-" if chosen else "--")
        for column, dot in self.dots.items():
            dot.set_data([data["r"]], [data["now"][column]])
            dot.set_color(ORANGE if data["use_rslora"] else BLUE)

    def describe(self, data):
        root, now = "√" if data["use_rslora"] else "", data["now"]
        changes = data["rules"][data["use_rslora"]]["change"]
        return (
            f"scaling = {data['alpha']} / {root}{data['r']} = {now['scaling']:.4g} · ‖ΔW‖ = {now['norm']:.3g} · "
            f"output moves by {now['change']:.3g} (inputs have size 1)\n"
            f"from r = {RANKS[0]} to r = {RANKS[-1]} this rule multiplies the output's move by "
            f"{changes.iloc[-1] / changes.iloc[0]:.2g}"
        )
