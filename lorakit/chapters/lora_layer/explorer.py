"""Sliders for alpha and r: the factor in front of B A, and how much the update then moves the output."""

from lorakit.show.explorer import Choice, Explorer, Steps, Toggle
from lorakit.show.style import BLUE, ORANGE
from lorakit.study.scaling import example_factors, scaling, unit_size

RANKS = (1, 2, 4, 8, 16, 32, 64)
ALPHAS = (1, 2, 4, 8, 16, 32, 64)
KINDS = {"random: they partly cancel": "random", "aligned: one Adam step, they add up": "aligned"}


class AlphaRankExplorer(Explorer):
    """Widget: r, alpha and use_rslora → the scaling, ‖ΔW‖ and the change of the output, with curves over r.

    It compares two examples: directions at random, and directions that one Adam step has aligned.
    """

    size = (9.5, 3.7)

    def __init__(self):
        self.units = {}
        for label, kind in KINDS.items():
            draws = [example_factors(kind, seed=seed) for seed in range(24)]
            self.units[label] = {r: unit_size(draws, r) for r in RANKS}
        controls = {
            "r": Steps("rank r", RANKS, 8),
            "alpha": Steps("alpha", ALPHAS, 16),
            "use_rslora": Toggle("use_rslora: divide by √r instead of r", False),
            "directions": Choice("r directions", tuple(KINDS), next(iter(KINDS))),
        }
        super().__init__("What alpha and r do to the size of the update", controls)

    def compute(self, r: int, alpha: float, use_rslora: bool, directions: str) -> dict:
        """The update's size now ("now"), and its curves over every rank for both rules ("curves")."""
        units = self.units[directions]
        curves = {rule: [units[q].scaled(scaling(alpha, q, rule)) for q in RANKS] for rule in (False, True)}
        now = units[r].scaled(scaling(alpha, r, use_rslora))
        return {"r": r, "alpha": alpha, "use_rslora": use_rslora, "now": now, "curves": curves}

    def draw(self, figure, data):
        left, right = figure.subplots(1, 2)
        ticks = dict(xticks=RANKS, xticklabels=RANKS, xlabel="rank r", xlim=(0.85, RANKS[-1] / 0.85))
        top = ALPHAS[-1] * 1.5
        left.set(xscale="log", yscale="log", ylim=(1 / RANKS[-1] / 1.5, top), **ticks)
        moves = [
            size.output_change * scaling(a, r, rule)
            for units in self.units.values()
            for r, size in units.items()
            for a in (ALPHAS[0], ALPHAS[-1])
            for rule in (False, True)
        ]
        right.set(xscale="log", yscale="log", ylim=(min(moves) / 2, max(moves) * 2), **ticks)
        left.set_title("the factor in front of B A", weight="normal", fontsize=13)
        right.set_title("how far the output moves (RMS)", weight="normal", fontsize=13)
        self.lines, self.dots = {}, []
        for ax in (left, right):
            ax.minorticks_off()
            ax.grid(True)
            for rule, label in ((False, "alpha / r"), (True, "alpha / √r")):
                self.lines[ax, rule] = ax.plot([], [], "-", color=ORANGE if rule else BLUE, label=label)[0]
            self.dots.append(ax.plot([], [], "o", markersize=13, color=BLUE, markeredgecolor="white")[0])
        left.legend(loc="lower left")
        self.axes = (left, right)
        self.move(data)
        return [*self.lines.values(), *self.dots]

    def move(self, data):
        for rule, sizes in data["curves"].items():
            left, right = (self.lines[ax, rule] for ax in self.axes)
            left.set_data(RANKS, [size.scaling for size in sizes])
            right.set_data(RANKS, [size.output_change for size in sizes])
            chosen = rule == data["use_rslora"]
            for line in (left, right):
                line.set(linewidth=3.2 if chosen else 1.8, linestyle="-" if chosen else "--")
        for dot, y in zip(self.dots, (data["now"].scaling, data["now"].output_change), strict=True):
            dot.set_data([data["r"]], [y])
            dot.set_color(ORANGE if data["use_rslora"] else BLUE)

    def describe(self, data):
        now, r, alpha = data["now"], data["r"], data["alpha"]
        root = "√" if data["use_rslora"] else ""
        first, last = data["curves"][data["use_rslora"]][0], data["curves"][data["use_rslora"]][-1]
        change = last.output_change / first.output_change
        return (
            f"scaling = {alpha} / {root}{r} = {now.scaling:.4g} · ‖ΔW‖ = {now.norm:.3g} · output moves by "
            f"{now.output_change:.3g} (inputs have size 1)\n"
            f"from r = {RANKS[0]} to r = {RANKS[-1]} this rule multiplies the output's move by {change:.2g}"
        )
