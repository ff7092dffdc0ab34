"""What chapter 02 reads from the recorded sweeps, on rows made for the purpose; and the pictures of it."""

import torch

from lorakit.chapters.low_rank_updates import plots as update_plots
from lorakit.chapters.low_rank_updates.recorded import at_best_lr, rank_for_gain, recorded_cuts, recorded_needs
from lorakit.lab.old_records import summarise
from lorakit.study.rank import Factors
from lorakit.study.spectra import Spectrum


def row(lr=1e-3, seed=0, execution=0.5, base="nano", d=1, **more):
    metrics = {split: {"execution": execution} for split in ("validation", "test")}
    return {"run": {"base": base, "lr": lr, "seed": seed, "d": d}, "metrics": metrics, **more}


def test_the_rate_with_the_best_validation_among_those_with_all_seeds_is_reported():
    rows = [row(1e-3, 0, 0.7), row(1e-3, 1, 0.7), row(1e-2, 0, 0.6), row(1e-2, 1, 0.6), row(1e-1, 0, 0.9)]
    assert {r["run"]["lr"] for r in at_best_lr(rows, "base")} == {1e-3}
    assert len(at_best_lr([*rows, row(1e-3, 0, 0.2, d=4)], "d")) == 3


CURVES = [{"k": k, "execution": a} for k, a in ((0, 0.0), (1, 0.5), (2, 0.8), (256, 0.8), (None, 0.9))]


def test_cuts_are_collected_over_the_seeds_of_one_base():
    rows = [row(truncation=CURVES), row(seed=1, truncation=CURVES), row(base="nano-early", truncation=CURVES[:1])]
    curve = recorded_cuts(rows, "nano")
    assert curve[1] == [0.5, 0.5] and curve[None] == [0.9, 0.9]
    assert recorded_cuts(rows, "nano-early") == {0: [0.0]}
    assert rank_for_gain(curve) == 2 and rank_for_gain(curve, 0.5) == 1


def test_spectra_give_the_k_that_holds_the_energy():
    spectra = {"transformer.h.0.a.weight": {"W": [1.0] * 10, "delta": [1.0, 0.1]}, "wte.weight": {"W": [1.0]}}
    assert recorded_needs([row(), row(spectra=spectra)], "nano") == {"transformer.h.0.a.weight": (9, 1)}


def test_the_titles_say_what_the_data_say():
    flat, steep = (Spectrum(Factors.of(m).s, (8, 8), float(m.norm())) for m in (torch.eye(8), torch.ones(8, 8)))
    assert (
        "in 1 of 2 matrices" in update_plots.energy_curves({"a": flat, "b": flat}, {"a": steep, "b": flat}).describe()
    )
    moved = update_plots.before_after_update(torch.ones(8, 8), 1.5 * torch.ones(8, 8), "w")
    assert "by 50% of its size" in moved.describe()
    rows = [row(execution=a, d=d) for d, a in ((1, 0.1), (10, 0.75), (100, 0.8))]
    points = summarise(rows, by=("d",))
    assert "d₉₀ = 10 of 1,000" in update_plots.accuracy_by_dimension(points, 0.8, 1000, live={10: 0.5}).describe()
    assert "No d tried" in update_plots.accuracy_by_dimension(points, 1.0, 1000).describe()
    bars = update_plots.bars_by_base({"a": {"full": [0.5], "LoRA": [0.4, 0.6]}, "b": {"full": [0.5], "LoRA": [0.1]}})
    assert bars.describe() == "Figure: LoRA: 100% of full from a, 20% of full from b"


def test_a_curve_may_have_several_seeds_and_a_row_for_the_whole_model():
    curve = recorded_cuts([row(truncation=CURVES), row(seed=1, truncation=CURVES)], "nano")
    fig = update_plots.accuracy_by_rank("t", {"recorded": curve, "yours": {0: [0.0], 16: [0.7]}}, base=0.8)
    labels = [tick.get_text() for tick in fig.axes[0].get_xticklabels()]
    assert labels == ["0", "1", "2", "16", "256"]
