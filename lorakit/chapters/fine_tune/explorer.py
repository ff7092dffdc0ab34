"""Pick a model and how it is trained; see where the memory of a training step goes, with LoRA and without."""

from lorakit.show.explorer import Choice, Explorer, Steps
from lorakit.show.sizes import OPTIMIZERS, PARTS, TARGETS, known_shapes, readable, stacked
from lorakit.study.activations import Training
from lorakit.study.memory import Prediction, predict
from lorakit.study.parameters import count_lora_parameters


class MemoryExplorer(Explorer):
    """Widget: a model's shape and how it is trained → the predicted peak of a step, full and LoRA, in parts.

    With fused attention and a fused GELU, and without recomputing; every token has logits and counts in the loss.
    """

    size = (10, 3.3)

    def __init__(self, model: str = "nano"):
        self.shapes = known_shapes()
        controls = {
            "model": Choice("model", tuple(self.shapes), model),
            "r": Steps("rank r", (1, 2, 4, 8, 16, 32, 64), 8),
            "targets": Choice("adapters on", tuple(TARGETS), "q + v"),
            "dtype": Choice("numbers", ("fp32", "bf16"), "fp32"),
            "optimizer": Choice("optimizer", tuple(OPTIMIZERS), "AdamW"),
            "batch": Steps("batch", (1, 2, 4, 8, 16, 32, 64, 128), 8),
            "length": Steps("tokens in a row", (16, 32, 64, 128, 256, 512, 1024, 2048), 64),
        }
        super().__init__("Where does the memory of a step go?", controls)

    def compute(self, model: str, r: int, targets: str, dtype: str, optimizer: str, batch: int, length: int) -> dict:
        """Predictions of the same step, "full" and "lora", and the share of the first that LoRA takes.

        A length beyond the model's context is cut to it.
        """
        shape = self.shapes[model]
        length = min(length, shape.context)
        how = dict(r=r, targets=TARGETS[targets], dtype=dtype, optimizer=OPTIMIZERS[optimizer])
        full, lora = (predict(shape, Training(batch, length, method, **how)) for method in ("full", "lora"))
        return {
            "full": full,
            "lora": lora,
            "share": lora.peak / full.peak,
            "trainable": count_lora_parameters(shape, TARGETS[targets], r),
            "about": f"{model}, {optimizer}, {batch} × {length} tokens",
        }

    def draw(self, figure, data):
        ax = figure.subplots()
        self.bars, self.labels = {}, {}
        words = dict(va="center", fontsize=13, weight="bold", bbox=dict(fc="white", ec="none", pad=2))
        for method, y in (("full", 1), ("lora", 0)):
            for part, colour in PARTS.items():
                (self.bars[method, part],) = ax.barh([y], [1], height=0.62, color=colour)
            self.labels[method] = ax.text(1, y, "", **words)
        ax.plot([100 / 3] * 2, [-0.5, 1.42], color="black", linestyle=":", linewidth=2)
        ax.text(100 / 3, 1.44, "a third", ha="center", va="bottom", fontsize=13)
        ax.set(yticks=[1, 0], yticklabels=["full", "LoRA"], xlim=(0, 122), ylim=(-0.5, 1.75))
        ax.set(xlabel="peak of a training step, in % of full fine-tuning's", xticks=range(0, 101, 20))
        handles = [self.bars["full", part] for part in PARTS]
        ax.legend(handles, PARTS, loc="upper center", ncols=len(PARTS), bbox_to_anchor=(0.5, 1.24))
        self.move(data)
        return [*self.bars.values(), *self.labels.values()]

    def move(self, data):
        whole = data["full"].peak
        for method in ("full", "lora"):
            for part, left, width in stacked(data[method], whole):
                self.bars[method, part].set(x=left, width=width)
            self.labels[method].set(x=left + width + 1.5, text=readable(data[method].peak, "B"))

    def describe(self, data):
        words = "less than a third" if data["share"] < 1 / 3 else "more than a third"
        trained = f"it trains {readable(data['trainable'])} numbers"
        text = f"{data['about']}: LoRA takes {data['share']:.0%} of the memory, {words}; {trained}"
        return f"{text}\nfull: {in_parts(data['full'])}\nLoRA: {in_parts(data['lora'])}"


def in_parts(memory: Prediction) -> str:
    """The parts of the peak in words, with its moment, and what is kept for the way back."""
    parts = ", ".join(f"{part} {readable(getattr(memory, part), 'B')}" for part in PARTS if getattr(memory, part))
    return f"{parts} (peak: {memory.moment}); kept for backward {readable(memory.kept, 'B')}"
