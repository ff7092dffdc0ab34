"""How many test sentences tell two accuracies apart?"""

import math

import numpy as np

from lorakit.show.explorer import Explorer, Steps
from lorakit.show.style import BLUE, ORANGE

SENTENCES = (64, 200, 872, 1821, 5000, 20000, 67000)
GAPS = (0.3, 0.9, 2.0, 5.0)


class ChanceExplorer(Explorer):
    """Widget: the number of test sentences and the true difference → where two measured accuracies fall.

    accuracy  of the better model, as a fraction
    """

    size = (8, 3.4)

    def __init__(self, accuracy: float):
        self.accuracy = accuracy
        controls = {
            "n": Steps("test sentences", SENTENCES, 1821),
            "gap": Steps("true difference (points)", GAPS, 0.9),
        }
        super().__init__("Is it a difference, or chance?", controls)

    def compute(self, n: int, gap: float) -> dict:
        """Standard errors in points, of each accuracy and of their difference, and how often the worse model wins.

        Both models are scored on n sentences of their own, in the normal approximation.
        """
        better, worse = self.accuracy, self.accuracy - gap / 100
        errors = [100 * math.sqrt(p * (1 - p) / n) for p in (better, worse)]
        difference = math.hypot(*errors)
        wrong = 0.5 * math.erfc(gap / difference / math.sqrt(2))
        return {"n": n, "gap": gap, "errors": errors, "difference": difference, "wrong": wrong}

    def draw(self, figure, data):
        self.ax = figure.subplots()
        middle = 100 * self.accuracy
        self.ax.set(xlim=(middle - 14, middle + 11), ylim=(0, 1.18), yticks=[], xlabel="measured accuracy (%)")
        self.x = np.linspace(middle - 14, middle + 11, 600)
        self.lines = [
            self.ax.plot([], [], color=colour, label=label)[0]
            for colour, label in ((ORANGE, "the worse model"), (BLUE, "the better model"))
        ]
        self.ax.legend(loc="upper left")
        self.move(data)
        return self.lines

    def move(self, data):
        middle = 100 * self.accuracy
        for line, place, error in zip(self.lines, (middle - data["gap"], middle), data["errors"][::-1], strict=True):
            line.set_data(self.x, np.exp(-0.5 * ((self.x - place) / error) ** 2))

    def describe(self, data):
        wrong = f"{100 * data['wrong']:.1f} %" if data["wrong"] > 0.001 else "under 0.1 %"
        return (
            f"{data['n']:,} sentences: each accuracy ± {data['errors'][0]:.2f} points, their difference ± "
            f"{data['difference']:.2f}\nthe worse model comes out ahead in {wrong} of such tests"
        )
