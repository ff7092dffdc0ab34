"""Chapter 07's table: which runs count as which method, at which learning rate, and the costs as they are measured."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

import lorakit as lk
from lorakit.chapters.against_the_others import costs, table
from lorakit.lab import records
from lorakit.lab.kinds import KINDS
from tests.support import rivals_rows


def of_kinds(*runs, task="text_to_sql"):
    return table.of_kinds(records.frame(map(rivals_rows.row, runs)), task)


@pytest.fixture(scope="module")
def rivals():
    return table.rivals_table(table.of_kinds(rivals_rows.runs()), rivals_rows.costs())


def test_every_kind_has_recorded_runs_and_costs():
    assert list(table.rivals_table().index) == list(KINDS)
    assert set(table.recorded("python")["key"]) == {key for key in KINDS if "distill" not in key}


@pytest.mark.parametrize("key", KINDS)
def test_a_run_is_known_by_all_that_makes_its_kind(key):
    assert of_kinds(replace(KINDS[key].run, lr=0.1, seed=0))["key"].tolist() == [key]


def test_runs_of_other_sizes_steps_or_targets_do_not_count():
    run = KINDS["lora"].run
    for other in (dict(r=4), dict(steps=200), dict(batch_size=8), dict(targets=("q",)), dict(alpha=8), dict(base="x")):
        assert of_kinds(run, replace(run, seed=1, **other))["seed"].tolist() == [0]
    assert of_kinds(run, replace(run, seed=1, task="python", batch_size=16))["seed"].tolist() == [0]


def test_validation_chooses_the_rate_and_test_has_no_say():
    runs = table.of_kinds(rivals_rows.runs(["houlsby"]))  # on test the other rate is ten points better
    assert runs.query("best")[["lr", "seed"]].to_numpy().tolist() == [[0.01, 0], [0.01, 1], [0.01, 2]]


def test_seeds_that_only_report_have_no_say_in_the_rate_nor_has_their_number():
    tried = [(0.1, 0, 0.8), (0.1, 1, 0.8), (0.2, 0, 0.7), (0.2, 1, 0.7), (0.2, 2, 0.99)]  # rate, seed, validation
    rows = [rivals_rows.row(replace(KINDS["houlsby"].run, lr=lr, seed=s), validation=v) for lr, s, v in tried]
    assert table.of_kinds(records.frame(rows)).query("best")["lr"].tolist() == [0.1] * 2


def test_the_table_has_the_means_and_ranges_in_percent(rivals):
    lora = rivals.loc["lora"]
    assert lora["test"] == pytest.approx(78.2) and lora["test_low"] == pytest.approx(77.2) and lora["seeds"] == 3
    assert lora["share"] == pytest.approx(100 * 32_768 / 4_200_000) and lora["lr"] == 0.01
    assert rivals["memory"]["full"] == 200 and rivals["decode_low"]["bitfit"] == pytest.approx(1.03)
    assert list(rivals.index) == list(KINDS)
    assert rivals["base"].value_counts().to_dict() == {"frozen": 6, "changed": 3, "replaced": 2}
    beside = rivals["beside"]
    assert (beside["houlsby"], beside["bitfit"], beside["lora"], beside["prefix"]) == (
        "above",
        "level",
        "level",
        "below",
    )


def test_the_page_has_every_row_rounded_by_name(rivals):
    page = table.page(rivals)
    assert page.index.tolist() == [kind.name for kind in KINDS.values()]
    assert page.loc["LoRA on q, v", ["trained", "valid. %", "test % (seeds)", "step, MB"]].tolist() == [
        "32,768 (0.78\u00a0%)", 90.0, "78.2 (77.2–79.2)", 139,
    ]  # fmt: skip
    assert table.percent(pd.Series({"test": 50.0, "test_low": 50.0, "test_high": 50.0, "seeds": 1}), "test") == (
        "50.0 (1 seed)"
    )
    assert "noise ± 2.0%; LoRA once merged 1.00\ndevice: cpu, threads: 2" in table.measured_on(rivals_rows.costs())


@pytest.fixture(scope="module")
def batch():
    _, tokenizer = lk.load_base("nano")
    return costs.questions(tokenizer, lk.lab.text_to_sql(), rows=2)


def test_the_hash_tells_frozen_from_changed(batch):
    assert costs.base_unchanged(KINDS["lora"].run, batch)
    assert not costs.base_unchanged(KINDS["bitfit"].run, batch)
    with pytest.raises(lk.LoRAError, match="moved nothing"):
        costs.base_unchanged(KINDS["lora"].run, batch, lr=0.0)


def test_what_is_deployed_computes_with_no_zeros_on_the_bases_memory(batch):
    base, _ = lk.load_base("nano")
    model = costs.deployed(KINDS["houlsby"].run)
    assert all(p.any() for p in model.parameters() if p.requires_grad) and not model.training
    before = model(batch["input_ids"]).logits
    costs.share_weights(model, base)
    assert torch.equal(model(batch["input_ids"]).logits, before)
    assert model.get_parameter("transformer.wte.weight").data_ptr() == base.transformer.wte.weight.data_ptr()
