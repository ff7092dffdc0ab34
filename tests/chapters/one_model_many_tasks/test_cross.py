"""The kept adapters are specialists, and the record of it is whole."""

import json

import pytest

import lorakit as lk
from lorakit.chapters.compare import reported
from lorakit.chapters.one_model_many_tasks.cross import FOLDERS, cross_table, judge, recorded
from lorakit.lab import records
from lorakit.lab.tasks.styles import HELD_OUT, STYLES


@pytest.fixture(scope="module")
def nano():
    model, tokenizer = lk.load_base("nano", device="cpu")
    for style, folder in FOLDERS.items():
        lk.load_adapter(model, folder, name=style)
    return model, tokenizer


def test_kept_adapters_are_small_files_that_lie_where_they_are_expected():
    for folder in FOLDERS.values():
        assert (folder / "adapter_model.safetensors").stat().st_size <= 200_000
        config = json.loads((folder / "adapter_config.json").read_text())
        assert config["r"] == 4 and config["lora_alpha"] == 16


def test_each_adapter_is_best_on_its_own_style(nano):
    model, tokenizer = nano
    lk.set_adapter(model, "law")
    table = cross_table(model, tokenizer, [None, *STYLES], limit=6)
    assert lk.active_adapter(model) == "law"
    assert list(table.index) == ["base", *STYLES] and list(table.columns) == list(table.idxmin()) == list(STYLES)
    assert (table.min() < 0.8 * table.loc["base"]).all()


def test_the_record_is_of_the_kept_adapters_on_every_style(nano):
    found = recorded().set_index(["adapter", "style"])
    assert list(found.index) == [(a, s) for a in ("base", *STYLES) for s in STYLES]
    assert (found["perplexity"] > 1).all() and (found["bits_per_byte"] > 0).all()
    known = found[list(HELD_OUT)].notna().all(axis=1)
    assert {pair for pair in found.index if known[pair]} == {(a, s) for s in STYLES for a in ("base", s)}
    model, tokenizer = nano
    lk.set_adapter(model, "medicine")
    again = judge(model, tokenizer, "medicine", "words")["bits_per_byte"]
    assert again == pytest.approx(found.loc[("medicine", "medicine"), "words"], abs=1e-3)


def test_the_kept_adapters_were_trained_at_the_rate_that_validation_chose():
    chosen = reported(records.load("styles"))
    assert chosen.groupby("task")["seed"].agg(sorted).to_dict() == dict.fromkeys(STYLES, [0, 1, 2])
