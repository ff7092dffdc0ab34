"""What every chapter's widget promises: a picture, numbers and labels; and a control moved and moved back tells all."""

import pytest
import torch

from lorakit.chapters.against_the_others.explorer import RivalsExplorer
from lorakit.chapters.against_the_others.table import rivals_table
from lorakit.chapters.fine_tune.explorer import MemoryExplorer
from lorakit.chapters.inside_delta_w.explorer import SimilarityExplorer
from lorakit.chapters.inside_gpt2.explorer import TargetPicker
from lorakit.chapters.lora_layer.explorer import AlphaRankExplorer
from lorakit.chapters.matrix_rank.explorer import RankExplorer
from lorakit.chapters.merge_and_latency.explorer import LatencyExplorer
from lorakit.chapters.merge_and_latency.grid import recorded
from lorakit.chapters.rank_and_alpha.explorer import SweepExplorer
from lorakit.chapters.variants.explorer import RateExplorer
from lorakit.lab import records
from lorakit.study.adapter_factors import Update

WEIGHT = torch.randn(24, 36, generator=torch.Generator().manual_seed(0))
ADAPTERS = {name: {"transformer.h.0.attn.c_attn.q": Update(r @ WEIGHT, WEIGHT[:, :4])}
            for name, r in (("one", torch.eye(4, 24)), ("other", torch.ones(4, 24).triu()))}  # fmt: skip
WIDGETS = {  # name → how to make it, and a control with another value
    "image": (lambda: RankExplorer(WEIGHT.sigmoid(), "An image"), {"rank": 2}),
    "weight": (lambda: RankExplorer(WEIGHT, "A weight"), {"rank": 2}),
    "alpha": (AlphaRankExplorer, {"r": 64}),
    "targets": (TargetPicker, {"r": 256}),
    "rivals": (lambda: RivalsExplorer(rivals_table()), {"cost": "context left (tokens)", "method": "prefix"}),
    "sweeps": (lambda: SweepExplorer(records.load("rank_text_to_sql"), "All runs"), {"r": 64}),
    "memory": (MemoryExplorer, {"model": "gpt2-xl", "r": 64}),
    "directions": (lambda: SimilarityExplorer(ADAPTERS, [("one", "other")], "Shared"), {"j": 3}),
    "variants": (lambda: RateExplorer(records.load("variants"), "Who wins?"), {"lr": "0.003"}),
    "latency": (lambda: LatencyExplorer(recorded()), {"batch": 4}),
}


@pytest.fixture(scope="module", params=WIDGETS)
def widget(request):
    make, change = WIDGETS[request.param]
    return make(), change


def test_it_shows_a_picture_numbers_and_controls_that_a_screen_reader_can_say(widget):
    pytest.importorskip("ipywidgets")
    explorer, _ = widget
    bundle = explorer._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG") and len(bundle["image/png"]) < 80_000
    assert bundle["text/plain"] == str(explorer)
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert all(explorer.control(name).description for name in explorer.controls)


def test_moving_a_control_and_back_gives_the_same_picture(widget):
    explorer, change = widget
    before, back = explorer.png(), {name: explorer.values[name] for name in change}
    explorer.set(**change)
    assert explorer.png() != before
    explorer.set(**back)
    assert explorer.png() == before
