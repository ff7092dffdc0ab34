"""What chapter 02 reads from the recorded sweeps, on rows made for the purpose; and the pictures of it."""

import pandas as pd

from lorakit.chapters.low_rank_updates import plots
from lorakit.chapters.low_rank_updates.recorded import compare_settings, rank_for_gain, recorded_cuts, recorded_needs
from lorakit.lab import records


def row(lr=1e-3, seed=0, execution=0.5, base="nano", d=1, **more):
    metrics = {split: {"execution": execution} for split in ("validation", "test")}
    run = {"task": "text_to_sql", "base": base, "lr": lr, "seed": seed, "d": d}
    return {"run": run, "metrics": {**metrics, "last_loss": 0.1}, **more}


CURVE = [{"k": k, "execution": a} for k, a in ((0, 0.0), (1, 0.5), (2, 0.8), (256, 0.8), (None, 0.9))]


def test_cuts_are_collected_over_the_seeds_of_one_base():
    rows = [row(truncation=CURVE), row(seed=1, truncation=CURVE), row(base="nano-early", truncation=CURVE[:1])]
    runs = records.frame(rows)
    curve = recorded_cuts(runs, "nano")
    assert list(curve[1]) == [0.5, 0.5] and list(curve[curve.index.isna()]) == [0.9, 0.9]
    assert list(recorded_cuts(runs, "nano-early")) == [0.0]
    assert rank_for_gain(curve) == 2 and rank_for_gain(curve, 0.5) == 1
    fig = plots.accuracy_by_rank("t", {"recorded": curve, "yours": pd.Series({0: 0.0, 16: 0.7})})
    assert [tick.get_text() for tick in fig.axes[0].get_xticklabels()] == ["0", "1", "2", "16", "256"]


def test_spectra_give_the_k_that_holds_the_energy():
    spectra = {"transformer.h.0.a.weight": {"delta": [1.0] * 10}, "wte.weight": {"delta": [1.0]}}
    assert recorded_needs(records.frame([row(), row(spectra=spectra)]), "nano").to_dict() == {
        "transformer.h.0.a.weight": 9
    }


def test_the_title_says_the_smallest_dimension_that_reaches_the_share_or_that_none_does():
    runs = records.frame(row(execution=a, d=d) for d, a in ((1, 0.1), (10, 0.75), (100, 0.8)))
    points = runs.groupby("d")["test_execution"].agg(["mean", "min", "max"])
    assert "d₉₀ = 10 of 1,000" in plots.accuracy_by_dimension(points, 0.8, 1000, live={10: 0.5}).describe()
    assert "No d tried" in plots.accuracy_by_dimension(points, 1.0, 1000, live={}).describe()


def test_every_setting_is_named_and_stands_at_its_best_rate():
    places = (["q", "v"], ["q", "k", "v", "o", "mlp"])
    settings = [{"method": "lora", "r": r, "targets": place} for r in (8, 64) for place in places]
    settings.insert(0, {"method": "full", "r": 0, "targets": []})
    rows = [row(lr, 0, right) for _ in settings for lr, right in ((1e-3, 0.4), (1e-2, 0.6))]
    for number, each in enumerate(rows):
        each["run"] |= settings[number // 2]
    found = compare_settings(records.frame(rows))
    names = ["full", "r = 8 on q+v", "r = 8 on all-linear", "r = 64 on q+v", "r = 64 on all-linear"]
    assert list(found["method"]) == names and set(found["lr"]) == {1e-2} and set(found["rates"]) == {2}
