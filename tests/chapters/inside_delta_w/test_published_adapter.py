"""The record of the published adapter: what it holds, how it is made, and what is said where it cannot be had."""

import json
import os
from pathlib import Path

import pytest
import torch

import lorakit as lk
from lorakit.chapters.inside_delta_w import published_adapter
from lorakit.study.adapter_factors import Update


def test_the_record_has_every_layer_with_falling_values():
    found = published_adapter.recorded()
    assert [(row["layer"], row["projection"]) for row in found["layers"]] == [(i, p) for i in range(12) for p in "qv"]
    for row in found["layers"]:
        for values in (row["delta"], row["A"]):
            assert len(values) == 8 and values == sorted(values, reverse=True) and values[-1] > 0
    for table in found["between"].values():
        phi = torch.tensor(table)
        assert phi.shape == (12, 12) and torch.equal(phi, phi.T) and torch.equal(phi.diagonal(), torch.ones(12))
    assert "MIT" in found["licence"] and "microsoft/LoRA" in found["source"]


@pytest.mark.skipif(
    not (Path(os.environ.get("LORAKIT_DATA", "/nowhere")) / published_adapter.FILE).is_file(),
    reason="LORAKIT_DATA holds no published adapter",
)
def test_the_record_is_what_the_file_gives(tmp_path):
    out = published_adapter.record(out=tmp_path / "again.json")
    again = json.loads(out.read_text("utf-8"))
    assert {**again, "date": None} == {**published_adapter.recorded(), "date": None}


def test_a_summary_of_known_updates():
    Q = torch.linalg.qr(torch.randn(20, 20, generator=torch.Generator().manual_seed(0))).Q
    s = torch.tensor([4.0, 2.0])
    updates = {f"{i}.{p}": Update(Q[:, 2 * i : 2 * i + 2].T, Q[:, :2] * s) for i in range(3) for p in "qv"}
    found = published_adapter.summarise(updates)
    assert found["layers"][0]["delta"] == pytest.approx([4, 2], rel=1e-4)
    assert found["layers"][0]["A"] == pytest.approx([1, 1], rel=1e-4)
    assert torch.allclose(torch.tensor(found["between"]["q inputs"]), torch.eye(3), atol=1e-6)
    assert torch.allclose(torch.tensor(found["between"]["v outputs"]), torch.ones(3, 3))


def test_without_file_and_network_the_way_out_is_named(monkeypatch):
    def no_network():
        raise OSError("no route to host")

    monkeypatch.delenv("LORAKIT_DATA", raising=False)
    monkeypatch.setattr(published_adapter, "_download", no_network)
    with pytest.raises(lk.LoRAError, match="(?s)no route to host.*LORAKIT_DATA.*recorded"):
        published_adapter.read_published(download=True)
    with pytest.raises(lk.LoRAError, match="download=True"):
        published_adapter.read_published()


def test_another_file_is_refused(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"not it")
    with pytest.raises(lk.LoRAError, match="SHA-256"):
        published_adapter.read_published(tmp_path / "x.bin")
    with pytest.raises(lk.LoRAError, match="cannot be read"):
        published_adapter.read_published(tmp_path / "absent.bin")
