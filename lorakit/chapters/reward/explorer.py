"""Pick what trains and how fast: the recorded rewards step by step, and a button that trains it here."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lorakit.chapters.reward.plots import shares
from lorakit.chapters.reward.record import run
from lorakit.show.button import ButtonExplorer
from lorakit.show.explorer import Choice, Steps
from lorakit.show.style import BLUE, GREEN


def nearest(wanted: float, known: Iterable[float]) -> float:
    """The one of `known` that `wanted` is the smallest factor away from."""
    return min(known, key=lambda one: max(one, wanted) / min(one, wanted))


class RewardExplorer(ButtonExplorer):
    """Widget: the reward, what trains, its learning rate → the recorded runs' rewards step by step, and their scores.

    The button trains the choice here for `steps` steps and scores it on the first `scored` questions.
    """

    size = (9, 3.6)
    label, icon = "train this here", "play"

    def __init__(self, runs: pd.DataFrame, title: str, steps: int = 10, scored: int = 100):
        self.runs, self.steps, self.scored, self.live = runs, steps, scored, None
        rates = sorted(set(runs["lr"]))
        controls = {
            "reward": Choice("reward for", tuple(runs["reward"].unique()), "right rows"),
            "setting": Choice("trained", tuple(runs["setting"].unique()), "r = 1"),
            "lr": Steps("learning rate", tuple(f"{lr:g}" for lr in rates), f"{nearest(1e-2, rates):g}"),
        }
        super().__init__(title, controls)

    def compute(self, reward: str, setting: str, lr: str) -> dict:
        """The recorded runs that come nearest to the choice: another rate, and where need be another setting."""
        same = self.runs[self.runs["reward"] == reward]
        if setting in set(same["setting"]):
            same = same[same["setting"] == setting]
        same = same[same["lr"] == nearest(float(lr), set(same["lr"]))]
        asked = (reward, setting, lr)
        return {"asked": asked, "runs": same, "live": self.live if self.live and self.live[0] == asked else None}

    def draw(self, figure, data):
        ax = figure.subplots()
        most = max(map(len, self.runs["rewarded"]))
        ax.set(xlim=(1, most), ylim=(0, 100), xlabel="step", ylabel="rewarded (%)")
        ax.grid(True)
        for rewarded in data["runs"]["rewarded"]:
            ax.plot(shares(rewarded), color=BLUE, alpha=0.7, linewidth=1.6)
        if data["live"]:
            ax.plot(shares(data["live"][1]["rewarded"]), color=GREEN, linewidth=3)
        return []

    def describe(self, data):
        runs, (_, setting, lr) = data["runs"], data["asked"]
        first = runs.iloc[0]
        near = "recorded" if first["setting"] == setting and np.isclose(first["lr"], float(lr)) else "nearest recorded"
        right = 100 * runs["test_execution"]
        text = f"{near}: {first['setting']} ({first['trainable']:,} numbers), learning rate {first['lr']:g}\n"
        text += f"test questions right afterwards: {right.mean():.0f} % ({len(runs)} seeds, "
        text += f"{right.min():.0f} to {right.max():.0f})"
        if data["live"]:
            live = data["live"][1]
            text += f"\ntrained here, {live['steps']} steps: {100 * live['test_execution']:.0f} % of {self.scored}"
        return text

    def act(self) -> None:
        """Train the choice on this machine; its rewards are the green line."""
        reward, setting, lr = asked = self.data["asked"]
        self.live = asked, run(setting, float(lr), 0, reward, self.steps, self.scored)
        self.set()

    def busy(self) -> str:
        return f"training, {self.steps} steps ..."
