"""The records of chapter 08 are whole: the kept adapters cut to k directions, and the adapter that was published."""

import pytest
import torch

import lorakit as lk
from lorakit.chapters.inside_delta_w import published_adapter
from lorakit.chapters.inside_delta_w.truncation import KEPT, LARGE, recorded, recovered
from lorakit.lab.places import data_folder
from lorakit.study.adapter_factors import Update


def test_every_large_adapter_is_recorded_at_every_k():
    rows = recorded().set_index(["adapter", "k"])
    assert set(rows.index) == {(name, k) for name in LARGE for k in KEPT}
    assert rows["task"].map({"sql": 500, "python": 300}).equals(rows["questions"])
    loss = rows["loss"].unstack()
    assert (loss[0] > 2 * loss[64]).all(), "without directions it is the base, with all of them the adapter"


def test_recovered_is_one_with_all_directions_and_zero_with_none():
    gains = recovered(recorded(), "sql")
    assert (gains[0] == 0).all() and (gains[64] == 1).all()
    rows = recorded().set_index(["adapter", "k"])["execution"]
    base, one, whole = rows["sql-r64-seed0"][[0, 1, 64]]
    assert gains.loc["sql-r64-seed0", 1] == pytest.approx((one - base) / (whole - base))


def test_the_published_adapter_is_recorded_layer_by_layer():
    found = published_adapter.recorded()
    assert [(row["layer"], row["projection"]) for row in found["layers"]] == [(i, p) for i in range(12) for p in "qv"]
    for row in found["layers"]:
        for values in (row["delta"], row["A"]):
            assert len(values) == 8 and values == sorted(values, reverse=True) and values[-1] > 0
    assert "MIT" in found["licence"] and "microsoft/LoRA" in found["source"]


@pytest.mark.skipif(not data_folder(published_adapter.FOLDER), reason="LORAKIT_DATA holds no published adapter")
def test_the_record_is_what_the_published_file_gives():
    found = published_adapter.summarise(published_adapter.read_published())
    assert found.items() <= published_adapter.recorded().items()


def test_a_summary_of_known_updates():
    Q = torch.linalg.qr(torch.randn(20, 20, generator=torch.Generator().manual_seed(0))).Q
    s = torch.tensor([4.0, 2.0])
    updates = {f"{i}.{p}": Update(Q[:, 2 * i : 2 * i + 2].T, Q[:, :2] * s) for i in range(3) for p in "qv"}
    found = published_adapter.summarise(updates)
    assert found["layers"][0]["delta"] == pytest.approx([4, 2], rel=1e-4)
    assert found["layers"][0]["A"] == pytest.approx([1, 1], rel=1e-4)


def test_without_the_published_file_the_way_out_is_named(monkeypatch):
    monkeypatch.delenv("LORAKIT_DATA", raising=False)
    with pytest.raises(lk.LoRAError, match="download=True"):
        published_adapter.read_published()
