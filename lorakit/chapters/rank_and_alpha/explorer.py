"""Pick r, alpha, matrices and learning rate: the recorded runs that come nearest, and a button that trains yours."""

import math
from collections.abc import Sequence
from dataclasses import replace

from lorakit.chapters.rank_and_alpha.plots import targets_name
from lorakit.chapters.rank_and_alpha.rank_sweep import MEASURES
from lorakit.lab.old_records import best_lr, select
from lorakit.lab.sweep import Run
from lorakit.show.explorer import Choice, Explorer, Steps
from lorakit.show.style import BLUE, GREEN, GREY, ORANGE, SKY


def plain_alpha(run: Run) -> float:
    """The alpha that gives this run's strength under the rule alpha / r: that of rsLoRA counts √r times as much."""
    return run.alpha * math.sqrt(run.r) if run.use_rslora else run.alpha


def groups(rows: Sequence[dict]) -> dict[tuple, list[dict]]:
    """LoRA runs that differ in nothing but their seed, by (r, alpha, targets, lr, steps)."""
    found: dict[tuple, list[dict]] = {}
    for run, row in {Run.of(row): row for row in rows}.items():  # two sweeps may have a run in common
        if run.method == "lora":
            found.setdefault((run.r, plain_alpha(run), run.targets, run.lr, run.steps), []).append(row)
    return found


def distance(key: tuple, r: int, alpha: float, targets: tuple[str, ...], lr: float) -> float:
    """How far a recorded point is from what was asked, in doublings of r, alpha and lr; other matrices: four."""
    doublings = abs(math.log2(key[0] / r)) + abs(math.log2(key[1] / alpha)) + abs(math.log2(key[3] / lr))
    return doublings + 4 * (key[2] != targets)


class SweepExplorer(Explorer):
    """See `sweep_explorer`."""

    size = (10, 4)

    def __init__(self, rows: Sequence[dict], title: str, steps: int | None, limit: int):
        ours = select(rows, method="lora")
        self.task = ours[0]["run"]["task"]
        self.measure = MEASURES[self.task]
        if len({(row["run"]["task"], row["run"]["base"]) for row in ours}) > 1:
            raise ValueError("give the records of one task and one base: others cannot share an axis")
        self.groups, self.steps, self.limit = groups(ours), steps, limit
        self.live: list[tuple[Run, float]] = []
        full = select(rows, method="full")
        rate = best_lr(select(full, seed=0), ("method",), f"validation.{self.measure.name}").get(("full",))
        self.full = [self.measure.of(row) for row in select(full, lr=rate)]
        self.values_of = {i: sorted({key[i] for key in self.groups}) for i in (0, 1, 3)}
        choices = {targets_name(t): t for t in sorted({key[2] for key in self.groups}, key=lambda t: (len(t), t))}
        self.targets = choices
        start = max(self.groups, key=lambda key: (len(self.groups[key]), key[2] == ("q", "v"), key[0] == 8))
        controls = {
            "r": Steps("rank r", tuple(self.values_of[0]), start[0]),
            "alpha": Steps("alpha", tuple(f"{a:g}" for a in self.values_of[1]), f"{start[1]:g}"),
            "targets": Choice("matrices", tuple(choices), targets_name(start[2])),
            "lr": Steps("learning rate", tuple(f"{lr:g}" for lr in self.values_of[3]), f"{start[3]:g}"),
        }
        super().__init__(title, controls)

    def compute(self, r: int, alpha: str, targets: str, lr: str) -> dict:
        """The nearest recorded point ("key", "runs", "distance") to the choice, and the runs that share all but one."""
        asked = {"r": r, "alpha": float(alpha), "targets": self.targets[targets], "lr": float(lr)}
        key = min(self.groups, key=lambda key: (distance(key, **asked), -len(self.groups[key]), -key[4]))
        runs = self.groups[key]
        return {
            "asked": asked,
            "key": key,
            "distance": distance(key, **asked),
            "runs": runs,
            "scores": sorted(self.measure.of(row) for row in runs),
            "over_lr": self._line(key, 3),
            "over_r": self._line(key, 0),
            "live": [(run, score) for run, score in self.live],
        }

    def _line(self, key: tuple, free: int) -> list[tuple[float, float]]:
        """(value, mean score) of the recorded points that agree with `key` in all but one place."""
        points = []
        for other, rows in self.groups.items():
            if all(a == b for i, (a, b) in enumerate(zip(other, key, strict=True)) if i != free):
                points.append((other[free], sum(self.measure.of(row) for row in rows) / len(rows)))
        return sorted(points)

    def draw(self, figure, data):
        self.axes = figure.subplots(1, 2, sharey=True)
        self.moving = {}
        all_scores = [self.measure.of(row) for rows in self.groups.values() for row in rows]
        edge = 0.06 * (max(all_scores + self.full) - min(all_scores + self.full)) or 1
        for ax, place, name, label in zip(self.axes, (3, 0), ("lr", "r"), ("learning rate", "rank r"), strict=True):
            points = [(key[place], self.measure.of(row)) for key, rows in self.groups.items() for row in rows]
            ax.plot(*zip(*points, strict=True), "o", color="#BBBBBB", markersize=5)
            if self.full:
                ax.axhspan(min(self.full), max(self.full), color=GREY, alpha=0.25, linewidth=0)
            ticks = self.values_of[place]
            ax.set(xscale="log", xlim=(ticks[0] / 1.5, ticks[-1] * 1.5), xlabel=label, xticks=_few(ticks))
            ax.set_xticklabels([f"{tick:g}" for tick in _few(ticks)])
            ax.minorticks_off()
            ax.grid(True)
            (line,) = ax.plot([], [], "-", color=SKY)
            (chosen,) = ax.plot([], [], "--", color=BLUE, linewidth=1.2)
            (dots,) = ax.plot([], [], "o", color=ORANGE, markersize=12, markeredgecolor="white")
            (stars,) = ax.plot([], [], "*", color=GREEN, markersize=18, markeredgecolor="white")
            self.moving[name] = (line, chosen, dots, stars)
        low, high = min(all_scores + self.full) - edge, max(all_scores + self.full) + edge
        self.axes[0].set(ylim=(low, high), ylabel=self.measure.label)
        if self.full:
            self.axes[1].text(1.0, 1.02, "grey: full fine-tuning", ha="right", color=GREY, fontsize=12,
                              transform=self.axes[1].transAxes)  # fmt: skip
        self.move(data)
        return [artist for artists in self.moving.values() for artist in artists]

    def move(self, data):
        low, high = self.axes[0].get_ylim()
        for name, place in (("lr", 3), ("r", 0)):
            line, chosen, dots, stars = self.moving[name]
            curve = data[f"over_{name}"]
            line.set_data([x for x, _ in curve], [y for _, y in curve])
            chosen.set_data([data["asked"][name]] * 2, [low, high])
            dots.set_data([data["key"][place]] * len(data["scores"]), data["scores"])
            stars.set_data(
                [getattr(run, name) for run, _ in data["live"]],
                [min(max(score, low), high) for _, score in data["live"]],  # off the scale: at its edge
            )

    def describe(self, data):
        r, alpha, targets, lr, steps = data["key"]
        n, scores = len(data["scores"]), data["scores"]
        digits = 1 if self.measure.factor == 100 else 3
        shown = f"{sum(scores) / n:.{digits}f}{self.measure.unit}"
        seeds = f"{n} seeds, {scores[0]:.{digits}f} to {scores[-1]:.{digits}f}" if n > 1 else "1 seed"
        near = "recorded" if not data["distance"] else "not recorded; the nearest"
        point = f"r = {r}, alpha = {alpha:g}, {targets_name(targets)}, learning rate {lr:g}, {steps} steps"
        trained = f"{data['runs'][0]['trainable']:,} parameters"
        text = f"{near}: {point} ({trained})\n{self.measure.label}: {shown} ({seeds})"
        if data["live"]:
            run, score = data["live"][-1]
            text += f"\n★ trained here: {run}: {score:.{digits}f}{self.measure.unit} on {self.limit} test examples"
        return text

    # -- the button

    def run(self) -> Run:
        """The chosen point as a run; what is not a control (batch, steps, precision) as in the nearest record."""
        asked = self.data["asked"]
        run = Run.of(self.data["runs"][0])
        return replace(
            run, **asked, use_rslora=False, seed=0, steps=self.steps or run.steps, measure=(), eval_every=None
        )

    def train(self, progress: bool = False) -> float:
        """Train the chosen point here and now, on this machine; returns its score and adds a star to the picture."""
        run = self.run()
        score = self.measure.factor * train_and_score(run, self.limit, progress)[self.measure.name]
        self.live.append((run, score))
        self.set()
        return score

    def _build(self) -> dict:
        built = super()._build()
        import ipywidgets as w

        self.button = w.Button(description="train this point here", button_style="primary", icon="play")
        self.button.layout.width = "220px"
        self.button.on_click(lambda _: self._clicked())
        heading, *rows, picture, numbers = built["box"].children
        built["box"].children = (heading, *rows, self.button, picture, numbers)
        return built

    def _clicked(self) -> None:
        self.button.disabled, label = True, self.button.description
        self.button.description = f"training, {self.run().steps} steps ..."
        try:
            self.train()
        finally:
            self.button.disabled, self.button.description = False, label


def train_and_score(run: Run, limit: int, progress: bool = False) -> dict:
    """Fine-tune a fresh base as `run` says; the metrics over the first `limit` test examples."""
    from lorakit.lab import evaluate, fit, load_base
    from lorakit.lab.methods import prepare
    from lorakit.lab.tasks import TASKS

    task = TASKS[run.task]()
    model, tokenizer = load_base(run.base)
    prepared = prepare(model, run)
    model = prepared.model
    same = {name: getattr(run, name) for name in ("steps", "batch_size", "lr", "seed")}
    same["precision"] = run.precision_on(model.device)
    fit(model, tokenizer, task, progress=progress, objective=prepared.objective, **same)
    prepared.finish()
    return evaluate(model, tokenizer, task, "test", limit=limit)


def _few(ticks: Sequence[float]) -> list[float]:
    """Ticks so far apart that their labels do not touch: by a factor of 1.9 for short ones, of 3 for long ones."""
    apart = 3 if max(len(f"{tick:g}") for tick in ticks) > 5 else 1.9
    kept = [ticks[0]]
    for tick in ticks[1:]:
        if tick / kept[-1] >= apart:
            kept.append(tick)
    return kept


def sweep_explorer(rows: Sequence[dict], title: str | None = None, *, steps: int | None = None, limit: int = 100):
    """Widget: r, alpha, matrices, learning rate → the nearest recorded runs among `rows`, with their seeds.

    `rows` are records of one task and one base. The button (or `.train()`) trains the chosen point on this machine for
    `steps` steps (None: as many as the records) and scores it on the first `limit` test examples. The grey band is
    full fine-tuning.
    """
    return SweepExplorer(rows, title or "Every recorded run, and yours", steps, limit)
