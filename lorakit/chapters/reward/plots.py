"""Pictures of chapter 13."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lorakit.chapters.compare import reported
from lorakit.show.style import GREEN, GREY, PALETTE, CourseFigure, figure


def best(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs rewarded for right rows, each setting at the rate that the validation questions chose."""
    return reported(runs[runs["reward"] == "right rows"], ["setting"])


def shares(rewarded: Sequence[Sequence[int]]) -> pd.Series:
    """By step, from 1: the share of its episodes, 8 samples of each question, that were rewarded, in per cent."""
    return pd.Series(100 * np.mean(rewarded, axis=1) / 8, range(1, len(rewarded) + 1))


def curves_figure(runs: pd.DataFrame, title: str) -> CourseFigure:
    """Rewarded share over the steps, a mean over three: a step's own questions are easy or hard.

    A colour a setting, a line a seed.
    """
    fig, ax = figure(title, size=(9, 3.8))
    for colour, (name, of_setting) in zip(PALETTE, best(runs).groupby("setting", sort=False), strict=False):
        trained = f"{of_setting['trainable'].iloc[0]:,}"
        for at, rewarded in enumerate(of_setting["rewarded"]):
            line = shares(rewarded).rolling(3, min_periods=1).mean()
            label = f"{name}\n({trained})" if at == 0 else None
            ax.plot(line, color=colour, alpha=0.8, linewidth=1.6, label=label)
    ax.set(xlabel="step (16 questions, 8 samples of each)", ylabel="rewarded (%)", ylim=(0, 100))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def live_figure(rewarded: Sequence[Sequence[int]], recorded: pd.DataFrame, title: str) -> CourseFigure:
    """A run from here over the recorded ones of the same setting."""
    fig, ax = figure(title, size=(9, 3.4))
    for at, one in enumerate(recorded["rewarded"]):
        ax.plot(shares(one), color=GREY, linewidth=1, label="" if at else "recorded, 3 seeds")
    ax.plot(shares(rewarded), color=GREEN, label="here")
    ax.set(xlabel="step", ylabel="rewarded (%)", ylim=(0, 100))
    ax.legend(loc="lower right")
    return fig
