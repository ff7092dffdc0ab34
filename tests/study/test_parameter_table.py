"""The counts are the model's own."""

import lorakit as lk
from lorakit import LoRAConfig
from tests.support.tiny_models import build


def counts(table):
    return table.trainable, table.frozen, table.total


def test_a_shared_weight_counts_once():
    model = build("gpt2")
    total = sum(p.numel() for p in model.parameters())
    assert counts(lk.parameter_table(model)) == (total, 0, total)


def test_adapters_are_counted_by_formula():
    model = build("gpt2")
    base = sum(p.numel() for p in model.parameters())
    lk.inject(model, LoRAConfig(r=3, targets=("q", "v")))
    trained = 2 * 2 * 3 * (24 + 24)  # layers, slices, r, in + out
    table = lk.parameter_table(model)
    assert counts(table) == (trained, base, base + trained)
    assert table.percent == 100 * trained / (base + trained)
    row = next(row for row in table.rows if row.module == "transformer.h.0.attn.c_attn.adapters.default")
    assert (row.trainable, row.frozen) == (trained // 2, 0)
    assert "lora_A 6×24" in row.shapes and "lora_B 48×3" in row.shapes


def test_an_inactive_adapter_is_frozen_and_a_saved_head_trains():
    model = build("roberta")
    head = sum(p.numel() for p in model.classifier.parameters())
    lk.inject(model, LoRAConfig(r=1, targets=("q",)), name="a")
    lk.inject(model, LoRAConfig(r=1, targets=("q",), modules_to_save=("classifier",)), name="b")
    assert lk.parameter_table(model).trainable == 2 * 48 + head
    lk.set_adapter(model, "a")
    assert lk.parameter_table(model).trainable == 2 * 48
    lk.set_adapter(model, None)
    assert lk.parameter_table(model).trainable == 0
