"""SmolLM2's adapters, looked into: a model of the same kind, in miniature."""

import pytest
import torch

import lorakit as lk
from lorakit.chapters.experiment import SMOLLM2_ADAPTER
from lorakit.chapters.inside_delta_w import pretrained


def test_adapters_of_one_start_share_all_and_a_cut_to_nothing_is_the_base(monkeypatch, tmp_path):
    model, _ = lk.load_base("nano", device="cpu")
    for r, seed in ((8, 0), (64, 0), (64, 1)):
        lk.inject(model, lk.LoRAConfig(r=r, alpha=16, targets=("o",)), name=f"{r}-{seed}")
        for name, p in model.named_parameters():
            if "lora_B" in name and f"{r}-{seed}" in name:  # both of r = 64 the same
                torch.nn.init.normal_(p.data, std=0.01, generator=torch.Generator().manual_seed(r))
        lk.save_adapter(model, tmp_path / SMOLLM2_ADAPTER.format(r=r, lr=3e-3, seed=seed), name=f"{r}-{seed}")
    monkeypatch.setattr(pretrained, "ADAPTERS", tmp_path)
    monkeypatch.setattr(pretrained.lk, "load_base", lambda *args, load=lk.load_base, **kwargs: load("nano", **kwargs))
    found = pretrained.look_inside()
    same = [row for row in found["phi"] if row["pair"] == "r = 64, two seeds"]
    assert {row["k"] for row in same} == {1, 64} and all(row["phi"] == pytest.approx(1, abs=1e-3) for row in same)
    losses = {row["k"]: row["loss"] for row in found["cut"]}
    assert list(losses) == list(pretrained.KEPT) and 0.4 < losses[0] < 0.8 and losses[0] != losses[64]
    assert all(1 <= row["directions"] <= 64 for row in found["directions"])
