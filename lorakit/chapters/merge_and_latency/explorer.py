"""Pick a model, a batch and a length: what each method adds to the base's time, recorded, or measured here."""

from lorakit.chapters.merge_and_latency.plots import LOOKS, NAMES
from lorakit.chapters.merge_and_latency.recorded import Cell, Recording
from lorakit.show.button import ButtonExplorer
from lorakit.show.explorer import Choice, Steps
from lorakit.show.style import BLACK, GREY

PHASES = {"reading a prompt": "prefill", "writing a token": "decode"}


class LatencyExplorer(ButtonExplorer):
    """See `latency_explorer`."""

    size = (10, 3.4)
    label, icon = "measure this here", "clock-o"

    def __init__(self, recording: Recording, title: str, seconds: float):
        if not recording.cells:
            raise ValueError("the recording has no cells: record some first")
        self.recording, self.seconds = recording, seconds
        self.live: dict[tuple, Cell] = {}
        largest = max(100 * cell.added(method) for cell in recording.cells for method in LOOKS)
        self.most = max(20, 2 * largest)  # %, the edge of the picture: a slower machine's stars fit too
        sizes = tuple(dict.fromkeys(cell.size for cell in recording.cells))
        start = recording.cells[0]
        controls = {
            "size": Choice("model", sizes, start.size),
            "phase": Choice("doing", tuple(PHASES), next(name for name, p in PHASES.items() if p == start.phase)),
            "batch": Steps("batch", tuple(sorted({cell.batch for cell in recording.cells})), start.batch),
            "length": Steps("length", tuple(sorted({cell.length for cell in recording.cells})), start.length),
        }
        super().__init__(title, controls)

    def compute(self, size: str, phase: str, batch: int, length: int) -> dict:
        """The recorded cell that is nearest to the choice ("cell"), whether it is the one asked for, and a live one."""
        asked = (size, PHASES[phase], batch, length)
        cells = self.recording.of(size, PHASES[phase]) or list(self.recording.cells)
        cell = min(cells, key=lambda c: abs(c.batch - batch) / batch + abs(c.length - length) / length)
        return {"asked": asked, "cell": cell, "exact": cell.key == asked, "live": self.live.get(asked)}

    def draw(self, figure, data):
        ax = figure.subplots()
        self.band = ax.axvspan(-1, 1, color=GREY, alpha=0.3, linewidth=0)
        self.bars, self.stars, self.words = {}, {}, {}
        for place, (method, (colour, _)) in enumerate(LOOKS.items()):
            self.bars[method] = ax.barh([place], [1], color=colour, height=0.6)[0]
            (self.stars[method],) = ax.plot([], [], "*", color=BLACK, markersize=15)
            self.words[method] = ax.text(0, place, "", va="center", fontsize=13)
        ax.axvline(0, color=BLACK, linewidth=1)
        ax.set(yticks=range(len(LOOKS)), yticklabels=[NAMES[m] for m in LOOKS], xlim=(-self.most / 5, self.most * 1.2))
        ax.set(xlabel="added to the base's time (%); grey: the noise floor; ★: measured here")
        ax.invert_yaxis()
        self.move(data)
        return [self.band, *self.bars.values(), *self.stars.values(), *self.words.values()]

    def move(self, data):
        noise = 100 * data["cell"].noise
        self.band.set(x=-noise, width=2 * noise)
        for place, method in enumerate(LOOKS):
            added = 100 * data["cell"].added(method)
            self.bars[method].set_width(min(max(added, -self.most / 6), self.most))
            self.words[method].set(x=max(min(added, self.most), 0) + self.most / 40, text=f"{added:+.1f} %")
            live = data["live"]
            there = [min(max(100 * live.added(method), -self.most / 6), self.most)] if live else []
            self.stars[method].set_data(there, [place] * len(there))

    def describe(self, data):
        cell = data["cell"]
        doing = "reading" if cell.phase == "prefill" else "writing behind"
        near = "recorded" if data["exact"] else "not recorded; the nearest"
        each = " a token" if cell.phase == "decode" else ""
        line = f"{near}: {cell.size}, {doing} {cell.batch} × {cell.length} tokens: the base takes "
        line += f"{cell.jobs['base'].ms:.1f} ms{each}; noise ± {100 * cell.noise:.1f} %"
        slower = [NAMES[method] for method in LOOKS if cell.verdicts[method] == "slower"]
        words = f"slower than the base beyond the noise: {', '.join(slower) or 'none'}"
        if live := data["live"]:
            words += f"\n★ measured here: the base {live.jobs['base'].ms:.1f} ms, noise ± {100 * live.noise:.1f} %"
        return f"{line}\n{words}"

    # -- the button

    def act(self) -> None:
        """Measure the chosen cell here and now, for about `seconds`; its ratios are added as stars."""
        from lorakit.chapters.merge_and_latency.contenders import contenders, gpt2_of_size
        from lorakit.chapters.merge_and_latency.grid import measure

        asked = self.data["asked"]
        models = contenders(gpt2_of_size(asked[0]))
        self.live[asked] = Cell.of(*asked, measure(models, *asked[1:], repeats=4, seconds=self.seconds))
        self.set()

    def busy(self) -> str:
        return "measuring ..."


def latency_explorer(recording: Recording, title: str = "What does it add?", seconds: float = 10) -> LatencyExplorer:
    """Widget: model, phase, batch, length → what each method adds to the base's time, as recorded.

    The button times the chosen cell on this machine for about `seconds`, and adds stars.
    """
    return LatencyExplorer(recording, title, seconds)
