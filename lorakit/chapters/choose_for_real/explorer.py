"""The budget planner: pick a model and how to adapt it; see what trains, what a step takes, which card holds it."""

from lorakit.show.explorer import Choice, Explorer, Steps, Toggle
from lorakit.show.sizes import OPTIMIZERS, PARTS, TARGETS, known_shapes, readable, stacked
from lorakit.show.style import GREEN
from lorakit.study.plan import BASES, Plan, plan, plan_full

CARDS = (8, 10, 16, 24, 48, 80, 640)  # GB of memory: laptops and gaming cards, a workstation, one and eight of a server
PAPER = "#F2F2F2"


class PlanExplorer(Explorer):
    """Widget: the budget planner over `study.plan`; `.data["plan"]` is the Plan.

    What the driver takes for itself and what the allocator cannot use are not counted: leave some room on the card.
    """

    size = (10, 3.1)

    def __init__(self, model: str):
        self.models = known_shapes()
        controls = {
            "model": Choice("model", tuple(self.models), model),
            "base": Choice("frozen base in", tuple(BASES), "bf16"),
            "r": Steps("rank r", (1, 2, 4, 8, 16, 32, 64, 128, 256), 8),
            "targets": Choice("adapters on", tuple(TARGETS), "q + v"),
            "optimizer": Choice("optimizer", tuple(OPTIMIZERS), "AdamW"),
            "batch": Steps("batch", (1, 2, 4, 8, 16, 32, 64), 1),
            "length": Steps("tokens in a row", (64, 128, 256, 512, 1024, 2048, 4096), 512),
            "recompute": Toggle("recompute activations (gradient checkpointing)", False),
        }
        super().__init__("What will the adaptation take, and which card holds it?", controls)

    def compute(self, model: str, base: str, targets: str, optimizer: str, length: int, **numbers) -> dict:
        decoder = self.models[model]
        how = dict(targets=TARGETS[targets], optimizer=OPTIMIZERS[optimizer], length=min(length, decoder.context))
        found = plan(decoder, base, **how, **numbers)
        return {
            "plan": found,
            "full": plan_full(decoder, base, **how, **numbers).peak,
            "cards": {card: found.peak <= card * 1e9 for card in CARDS},
            "model": model,
            "base": base,
            "length": how["length"],
        }

    def draw(self, figure, data):
        top, below = figure.subplots(2, 1, height_ratios=(1.1, 1))
        self.bars = {part: top.barh([0], [1], color=colour, height=0.7)[0] for part, colour in PARTS.items()}
        self.words = {
            part: top.text(0, 0, "", va="center", ha="center", fontsize=13, weight="bold", color="white")
            for part in PARTS
        }
        top.set(xlim=(0, 100), ylim=(-0.6, 0.6), yticks=[], xticks=range(0, 101, 20), xlabel="% of the peak of a step")
        top.legend(
            [self.bars[p] for p in PARTS], PARTS, loc="lower center", ncols=len(PARTS), bbox_to_anchor=(0.5, 1.0)
        )
        below.set(xlim=(0, len(CARDS)), ylim=(0, 1))
        below.axis("off")
        below.spines[:].set_visible(False)  # an explorer draws them after all else
        self.cards = {card: below.text(place + 0.5, 0.45, "", ha="center") for place, card in enumerate(CARDS)}
        self.move(data)
        return [*self.bars.values(), *self.words.values(), *self.cards.values()]

    def move(self, data):
        found: Plan = data["plan"]
        for part, left, width in stacked(found, found.peak):
            self.bars[part].set(x=left, width=width)
            self.words[part].set(x=left + width / 2, text=readable(getattr(found, part), "B") if width > 10 else "")
        for card, fits in data["cards"].items():
            ink, paper = ("white", GREEN) if fits else ("#555555", PAPER)
            self.cards[card].set(text=f"{'✓' if fits else '✗'} {card} GB", color=ink)
            self.cards[card].set_bbox({"boxstyle": "round,pad=0.5", "facecolor": paper, "edgecolor": "none"})

    def describe(self, data):
        found: Plan = data["plan"]
        step = f"{data['model']} in {data['base']}: a step takes {readable(found.peak, 'B')}"
        merging = "it has to be unpacked to 16 bits first" if data["base"] in ("8-bit", "4-bit") else "no added work"
        return "\n".join(
            [
                f"{step} (full fine-tuning {readable(data['full'], 'B')}), the peak: in the {found.moment}",
                f"trains {readable(found.trainable)} numbers, {found.percent:.3g} % of {readable(found.parameters)}; "
                f"the adapter's file {readable(found.file, 'B')} in 16 bits",
                f"unmerged +{100 * found.added_work:.2g} % operations for each token; "
                f"merged {readable(found.merged, 'B')}, {merging}",
            ]
        )
