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
            "directions": Choice("the r terms", tuple(KINDS), next(iter(KINDS))),
        }
        super().__init__("What alpha and r do to the size of the update", controls)

    def compute(self, r: int, alpha: float, use_rslora: bool, directions: str) -> dict:
        """The update's size now, and by rule its "curves" over every rank: the scalings, the output's changes."""
        units, curves = self.units[directions], {}
        for rule in (False, True):
            scalings = [scaling(alpha, q, rule) for q in RANKS]
            curves[rule] = scalings, [s * units[q][1] for s, q in zip(scalings, RANKS, strict=True)]
        now = scaling(alpha, r, use_rslora)
        norm, change = (now * size for size in units[r])
        settings = {"r": r, "alpha": alpha, "use_rslora": use_rslora}
        return settings | {"scaling": now, "norm": norm, "change": change, "curves": curves}

    def draw(self, figure, data):
        left, right = figure.subplots(1, 2)
        ticks = dict(xticks=RANKS, xticklabels=RANKS, xlabel="rank r", xlim=(0.85, RANKS[-1] / 0.85))
        top = ALPHAS[-1] * 1.5
        left.set(xscale="log", yscale="log", ylim=(1 / RANKS[-1] / 1.5, top), **ticks)
        right.set(xscale="log", yscale="log", ylim=(6e-4, 8), **ticks)  # all that the controls can choose
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
        for rule, curves in data["curves"].items():
            chosen = rule == data["use_rslora"]
            for ax, curve in zip(self.axes, curves, strict=True):
                self.lines[ax, rule].set_data(RANKS, curve)
                self.lines[ax, rule].set(linewidth=3.2 if chosen else 1.8, linestyle="-" if chosen else "--")
        for dot, y in zip(self.dots, (data["scaling"], data["change"]), strict=True):
            dot.set_data([data["r"]], [y])
            dot.set_color(ORANGE if data["use_rslora"] else BLUE)

    def describe(self, data):
        root = "√" if data["use_rslora"] else ""
        _, changes = data["curves"][data["use_rslora"]]
        return (
            f"scaling = {data['alpha']} / {root}{data['r']} = {data['scaling']:.4g} · ‖ΔW‖ = {data['norm']:.3g} · "
            f"output moves by {data['change']:.3g} (inputs have size 1)\n"
            f"from r = {RANKS[0]} to r = {RANKS[-1]} this rule multiplies the output's move by "
            f"{changes[-1] / changes[0]:.2g}"
        )
