"""Pick r, alpha, matrices and learning rate: the recorded runs that come nearest, and a button that trains yours."""

import numpy as np
import pandas as pd

from lorakit.chapters.compare import reported
from lorakit.chapters.rank_and_alpha.plots import window
from lorakit.chapters.rank_and_alpha.rank_sweep import measure_of, scores
from lorakit.core.errors import LoRAError
from lorakit.lab.sweep import Run, run_one
from lorakit.show.button import ButtonExplorer
from lorakit.show.explorer import Choice, Steps
from lorakit.show.style import BLUE, GREEN, GREY, ORANGE, SKY, log_x

KEY = ["r", "alpha", "targets", "lr", "steps"]  # runs that agree in these differ in nothing but their seed
ALPHAS = {4, 16, 64}  # to be tried here, where the records of a sweep have one alpha
AXES = ("lr", "r", "alpha")
LIMIT = 100  # test examples that a run trained here is scored on


class SweepExplorer(ButtonExplorer):
    """r, alpha, matrices, learning rate → the nearest recorded runs among `runs`, with their seeds.

    `runs` are a sweep's, of one task and one base, with full fine-tuning among them: the grey band. The button trains
    the chosen point on this machine, for as many steps as the nearest record; so does an alpha that no record has.
    """

    size = (11, 4)
    label, icon = "train this point here", "play"

    def __init__(self, runs: pd.DataFrame, title: str):
        self.measure = measure_of(runs)
        words = runs["targets"].str.replace("+", ", ", regex=False)
        self.runs = runs.assign(score=self.measure.of(runs), targets=words).query("method == 'lora'")
        self.points = self.runs.groupby(KEY, sort=False)["score"].agg(mean="mean", seeds="count").reset_index()
        self.full = scores(reported(runs[runs["method"] == "full"]), ["method"]).loc["full"]
        self.live: list[tuple[Run, float]] = []
        self.ticks = {name: sorted(set(self.points[name].tolist())) for name in AXES}
        self.ticks["alpha"] = sorted(ALPHAS.union(self.ticks["alpha"]))
        low, high = window(self.measure.of(runs), self.measure.sign)
        own = self.measure.of(reported(runs))  # each setting at its own rate: all of these are shown
        self.window = (min(low, own.min() - 0.05 * (high - low)), max(high, own.max() + 0.05 * (high - low)))
        choices = sorted(set(self.points["targets"]), key=lambda targets: (targets.count(","), targets))
        start = max(self.points.itertuples(), key=lambda point: (point.seeds, point.targets == "q, v", point.r == 8))
        controls = {
            "r": Steps("rank r", tuple(self.ticks["r"]), start.r),
            "alpha": Steps("alpha", tuple(f"{alpha:g}" for alpha in self.ticks["alpha"]), f"{start.alpha:g}"),
            "targets": Choice("matrices", tuple(choices), start.targets),
            "lr": Steps("learning rate", tuple(f"{lr:g}" for lr in self.ticks["lr"]), f"{start.lr:g}"),
        }
        super().__init__(title, controls)

    def compute(self, r: int, alpha: str, targets: str, lr: str) -> dict:
        """The nearest recorded point to the choice, its runs, and the points that share all with it but one setting."""
        asked = {"r": r, "alpha": float(alpha), "targets": targets, "lr": float(lr)}
        away = 4 * (self.points["targets"] != targets)  # as far as four doublings of another setting
        for name in AXES:
            away = away + np.log2(self.points[name] / asked[name]).abs()
        point = (
            self.points.assign(away=away)
            .sort_values(["away", "seeds", "steps"], ascending=[True, False, False])
            .iloc[0]
        )
        lines = {}
        for free in AXES:
            same = [name for name in KEY if name != free]
            lines[free] = self.points[(self.points[same] == point[same]).all(axis=1)].sort_values(free)
        runs = self.runs[(self.runs[KEY] == point[KEY]).all(axis=1)].sort_values("score")
        return {"asked": asked, "point": point, "runs": runs, "lines": lines, "live": list(self.live)}

    def draw(self, figure, data):
        self.axes = dict(zip(AXES, figure.subplots(1, 3, sharey=True, width_ratios=(4, 4, 3)), strict=True))
        self.moving = {}
        for name, ax in self.axes.items():
            ax.plot(self.runs[name], self.runs["score"], "o", color="#BBBBBB", markersize=5)
            ax.axhspan(self.full["low"], self.full["high"], color=GREY, alpha=0.25, linewidth=0)
            ticks = self.ticks[name]
            log_x(ax, ticks[:: 1 + len(ticks) // 8])  # labels that do not touch
            ax.set(xlabel=self.controls[name].label, xlim=(ticks[0] / 1.5, ticks[-1] * 1.5))
            ax.grid(True)
            (line,) = ax.plot([], [], "-", color=SKY)
            chosen = ax.axvline(data["asked"][name], linestyle="--", color=BLUE, linewidth=1.2)
            (dots,) = ax.plot([], [], "o", color=ORANGE, markersize=12, markeredgecolor="white")
            (stars,) = ax.plot([], [], "*", color=GREEN, markersize=18, markeredgecolor="white")
            self.moving[name] = (line, chosen, dots, stars)
        self.axes["lr"].set(ylabel=self.measure.label, ylim=self.window)
        corner = {"ha": "right", "fontsize": 12, "transform": self.axes["alpha"].transAxes}
        self.axes["alpha"].text(1.0, 1.02, "grey: full fine-tuning", color=GREY, **corner)
        self.move(data)
        return [artist for artists in self.moving.values() for artist in artists]

    def move(self, data):
        for name, (line, chosen, dots, stars) in self.moving.items():
            line.set_data(data["lines"][name][name], data["lines"][name]["mean"])
            chosen.set_xdata([data["asked"][name]] * 2)
            dots.set_data(data["runs"][name], np.clip(data["runs"]["score"], *self.window))  # at its edge at most
            scores = np.clip([score for _, score in data["live"]], *self.window)
            stars.set_data([getattr(run, name) for run, _ in data["live"]], scores)

    def describe(self, data):
        point, scores, digits = data["point"], data["runs"]["score"], self.measure.digits
        seeds = f"{len(scores)} seeds, {scores.min():.{digits}f} to {scores.max():.{digits}f}"
        near = "not recorded; the nearest" if point["away"] > 0.01 else "recorded"  # controls show rounded numbers
        text = f"{near}: r = {point['r']}, alpha = {point['alpha']:g}, {point['targets']}, "
        text += f"learning rate {point['lr']:g}, {point['steps']} steps "
        text += f"({data['runs']['trainable'].iloc[0]:,} parameters)\n{self.measure.label}: "
        text += f"{scores.mean():.{digits}f} ({seeds if len(scores) > 1 else '1 seed'})"
        if data["live"]:
            run, score = data["live"][-1]
            text += f"\n★ trained here: {run}: {score:.{digits}f} on {LIMIT} test examples"
        return text

    # -- the button

    def run(self) -> Run:
        """The chosen point as a run; what is not a control (batch, steps, precision) as in the nearest record."""
        asked, near = self.data["asked"], self.data["runs"].iloc[0]
        same = {name: near[name] for name in ("task", "base", "precision")} | {"batch_size": int(near["batch_size"])}
        asked = asked | {"targets": asked["targets"].split(", "), "steps": int(near["steps"])}
        return Run(**same, **asked, scored=LIMIT)

    def act(self) -> None:
        """Train the chosen point here and now, on this machine; its score is a star in the picture."""
        run = self.run()
        row = run_one(run)
        if "diverged" in row:
            raise LoRAError(row["diverged"])
        self.live.append((run, self.measure.factor * row["metrics"]["test"][self.measure.name]))
        self.set()

    def busy(self) -> str:
        return f"training, {self.run().steps} steps ..."
