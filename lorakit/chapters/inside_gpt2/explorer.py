"""Pick a model, what to adapt and a rank; see what the adapters weigh."""

from lorakit.show.explorer import Choice, Explorer, Steps, Toggle
from lorakit.show.sizes import known_shapes, readable
from lorakit.show.style import BLUE, GREY, ORANGE, log_x
from lorakit.study.parameters import count_by_target

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TARGETS = ("q", "k", "v", "o", "mlp")


class TargetPicker(Explorer):
    """Widget: choose a model's shape, the projections to adapt and r → live parameter counts and file sizes."""

    size = (9, 3.9)

    def __init__(self, model: str = "gpt2"):
        self.shapes = known_shapes()
        controls = {"model": Choice("model", tuple(self.shapes), model), "r": Steps("rank r", RANKS, 8)}
        controls |= {target: Toggle(target, target in ("q", "v")) for target in TARGETS}
        super().__init__("What does adapting it cost?", controls)

    def compute(self, model: str, r: int, **chosen) -> dict:
        """Counts by target, and their total."""
        shape = self.shapes[model]
        counts = count_by_target(shape, [target for target in TARGETS if chosen[target]], r)
        return {"shape": shape, "r": r, "counts": counts, "total": sum(counts.values())}

    def draw(self, figure, data):
        ax = figure.subplots()
        rows = ("whole model", "all adapters", *TARGETS)
        places = range(len(rows), 0, -1)
        colours = [GREY, ORANGE] + [BLUE] * len(TARGETS)
        self.bars = ax.barh(places, [1] * len(rows), height=0.66, color=colours)
        self.labels = [ax.text(1, y, "", va="center", fontsize=13) for y in places]
        log_x(ax, [1e3, 1e6, 1e9, 1e12], ["1k", "1M", "1B", "1T"])
        ax.set(yticks=places, yticklabels=rows, xlim=(100, 2e13), xlabel="parameters (log scale)")
        ax.grid(True, axis="x")
        self.move(data)
        return [*self.bars, *self.labels]

    def move(self, data):
        numbers = [data["shape"].parameters, data["total"], *(data["counts"].get(t, 0) for t in TARGETS)]
        for bar, label, number in zip(self.bars, self.labels, numbers, strict=True):
            bar.set_width(number)
            label.set_x(max(number, 100) * 1.25)
            label.set_text(readable(number) if number else "")

    def describe(self, data):
        shape, total = data["shape"], data["total"]
        if not total:
            return f"{shape.name}: {readable(shape.parameters)} parameters. Nothing is adapted: tick a target."
        return (
            f"{shape.name}, r = {data['r']} on {' + '.join(data['counts'])}: {total:,} trainable of "
            f"{readable(shape.parameters)} ({100 * total / shape.parameters:.3g} %), "
            f"{shape.parameters / total:,.0f} × fewer\n"
            f"adapter file: {readable(2 * total, 'B')} in fp16, {readable(4 * total, 'B')} in fp32"
        )
