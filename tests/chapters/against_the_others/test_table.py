"""Chapter 07's table: which runs count as which method, at which learning rate, and the costs as they are measured."""

import json
from dataclasses import replace

import pytest
import torch

import lorakit as lk
from lorakit.chapters.against_the_others import costs as rivals_costs
from lorakit.chapters.against_the_others import pruned
from lorakit.chapters.against_the_others import table as rivals_table
from lorakit.chapters.against_the_others.kinds import KINDS, at_best_rate, gather, key_of
from lorakit.chapters.against_the_others.table import RivalsTable, load_costs
from lorakit.chapters.experiments import RIVALS
from lorakit.rivals.prefix import usable_context
from tests.support import rivals_rows


@pytest.fixture(scope="module")
def table():
    return rivals_table.rivals_table(rivals_rows.runs(), rivals_rows.costs())


def test_every_recorded_rival_has_its_place():
    for method, size, hidden in RIVALS:
        assert any((k.run.method, k.run.size, k.run.hidden) == (method, size, hidden) for k in KINDS.values())


def test_runs_of_other_sizes_steps_or_targets_do_not_count():
    run = KINDS["lora"].run
    assert key_of(rivals_rows.row(replace(run, lr=0.1, seed=4), 0.5, 0.5)) == "lora"
    for other in (
        dict(r=4),
        dict(steps=200),
        dict(batch_size=8),
        dict(targets=("q",)),
        dict(task="python"),
        dict(alpha=8),
        dict(base="x"),
    ):
        assert key_of(rivals_rows.row(replace(run, **other), 0.5, 0.5)) is None
    assert key_of(rivals_rows.row(KINDS["prefix"].run, 0.5, 0.5)) == "prefix"
    assert key_of(rivals_rows.row(KINDS["prefix_mlp"].run, 0.5, 0.5)) == "prefix_mlp"


def test_a_student_that_learns_longer_is_another_row():
    run = KINDS["distill"].run
    assert key_of(rivals_rows.row(run, 0.5, 0.5)) == "distill"
    assert key_of(rivals_rows.row(replace(run, steps=1000), 0.5, 0.5)) == "distill_long"


def test_the_other_task_is_gathered_by_itself():
    row = rivals_rows.row(replace(KINDS["bitfit"].run, task="python", batch_size=16), 0.5, 0.5)
    assert gather([row]) == {} and list(gather([row], "python")) == ["bitfit"]


def test_records_older_than_a_field_are_read():
    old = rivals_rows.row(KINDS["lora"].run, 0.5, 0.5)
    for name in ("size", "hidden"):
        del old["run"][name]
    assert list(gather([old])) == ["lora"]


def test_validation_chooses_the_rate_and_test_has_no_say():
    runs = rivals_rows.runs()["houlsby"]  # on test the other rate is ten points better
    rate, chosen = at_best_rate(runs)
    assert rate == 0.01 and [row["run"]["seed"] for row in chosen] == [0, 1, 2]


def test_only_seed_0_chooses():
    run = KINDS["houlsby"].run
    rows = [rivals_rows.row(replace(run, lr=lr, seed=s), 0.5, v) for lr, s, v in
            ((0.1, 0, 0.8), (0.2, 0, 0.7), (0.2, 1, 0.99), (0.2, 2, 0.99))]  # fmt: skip
    assert at_best_rate(rows)[0] == 0.1
    with pytest.raises(lk.LoRAError, match="seed 0"):
        at_best_rate(rows[2:])


def test_the_table_has_the_means_and_ranges_in_percent(table):
    lora = table["lora"]
    assert lora.test.mean == pytest.approx(78.2) and lora.test.low == pytest.approx(77.2) and lora.test.n == 3
    assert lora.share == pytest.approx(100 * 32_768 / 4_200_000) and lora.lr == 0.01
    assert [row.key for row in table] == list(KINDS)


def test_what_lacks_runs_or_costs_is_left_out():
    some = [key for key in KINDS if key not in ("prefix", "distill")]
    assert "prefix" not in rivals_table.rivals_table(rivals_rows.runs(some), rivals_rows.costs())
    assert "distill" not in rivals_table.rivals_table(rivals_rows.runs(), rivals_rows.costs(some))


def test_it_prints_and_renders_every_row(table):
    text, page = str(table), table._repr_html_()
    assert len(text.splitlines()) == len(KINDS) + 2
    for row in table:
        assert row.name in text and row.name in page and f"{row.trained:,}" in page
    assert page.count("<tr") == len(KINDS) + 1 and "font-weight:bold" in page
    line = next(line for line in text.splitlines() if line.startswith("student,"))
    assert "replaced" in line
    assert "(1 seed)" in rivals_table.percent(replace(table["lora"].test, n=1))


def test_missing_costs_say_how_to_make_them(tmp_path):
    with pytest.raises(lk.LoRAError, match="table makes it"):
        load_costs(tmp_path / "none.json")


@pytest.fixture(scope="module")
def batch():
    _, tokenizer = lk.load_base("nano")
    return rivals_costs.questions(tokenizer, lk.lab.text_to_sql(), rows=2)


def test_the_hash_tells_frozen_from_changed(batch):
    assert rivals_costs.base_unchanged(KINDS["lora"].run, batch)
    assert not rivals_costs.base_unchanged(KINDS["bitfit"].run, batch)


def test_a_step_that_moves_nothing_is_no_proof(batch):
    with pytest.raises(lk.LoRAError, match="moved nothing"):
        rivals_costs.base_unchanged(KINDS["lora"].run, batch, lr=0.0)


def test_the_digest_sees_a_single_bit():
    tensors = {"a": torch.ones(3), "b": torch.zeros(2)}
    before = rivals_costs.digest(tensors)
    assert rivals_costs.digest(dict(reversed(tensors.items()))) == before
    tensors["a"][1] += 1e-7
    assert rivals_costs.digest(tensors) != before


def test_a_teacher_takes_memory_beside_its_student(batch):
    peak, parts = rivals_costs.step_memory(KINDS["distill"].run, batch)
    teacher, _ = lk.load_base("nano")
    assert peak - parts.peak >= 4 * sum(p.numel() for p in teacher.parameters())
    assert parts.weights < peak - parts.peak  # the student is the smaller one


def test_what_is_deployed_computes_with_no_zeros(batch):
    model = rivals_costs.deployed(KINDS["houlsby"].run)
    assert all(p.any() for p in model.parameters() if p.requires_grad) and not model.training


def test_copies_of_the_base_use_its_memory_and_compute_the_same(batch):
    base, _ = lk.load_base("nano")
    model = rivals_costs.deployed(KINDS["houlsby"].run)
    before = model(batch["input_ids"]).logits
    assert rivals_costs.share_weights(model, base) == len(list(base.parameters()))
    assert torch.equal(model(batch["input_ids"]).logits, before)
    assert model.get_parameter("transformer.wte.weight").data_ptr() == base.transformer.wte.weight.data_ptr()


def test_the_mlp_of_a_prefix_is_not_kept():
    with_mlp, plain = (rivals_costs.counts(KINDS[key].run) for key in ("prefix_mlp", "prefix"))
    assert with_mlp["kept"] == plain["kept"] == plain["trained"] == 2 * 4 * 16 * 256
    assert with_mlp["trained"] > with_mlp["kept"]
    assert usable_context(rivals_costs.deployed(KINDS["prefix"].run)) == 256 - 16


def test_the_command_writes_what_the_table_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rivals_costs, "measure_costs", lambda repeats, device: rivals_rows.costs())
    monkeypatch.setattr(rivals_table, "recorded", rivals_rows.runs)
    asked = []
    monkeypatch.setattr(pruned, "pruned_scores", lambda task, limit, device: asked.append(limit) or [])
    out = tmp_path / "costs.json"
    assert rivals_table.main(["--repeats", "4", "--questions", "7", "--out", str(out)]) == 0
    written = load_costs(out)
    assert (
        written["command"].endswith("--repeats 4 --questions 7")
        and asked == [7]
        and json.loads(out.read_text())["rows"].keys() == KINDS.keys()
    )
    assert isinstance(rivals_table.rivals_table(rivals_rows.runs(), written), RivalsTable)
    assert "Houlsby adapters" in capsys.readouterr().out


def test_pruning_costs_answers_and_leaves_the_model_as_it_was():
    task = lk.lab.text_to_sql()
    rows = pruned.pruned_scores(task, ((1, 1, 1, 1), (1, 0.5, 0.3, 0.2)), limit=3)
    whole, cut = rows
    assert whole["work"] == 1 and cut["work"] == pytest.approx(0.5) and whole["execution"] > cut["execution"]
    model, tokenizer = pruned.adapted()
    ids = tokenizer(task.test[0].prompt, return_tensors="pt").input_ids
    before = model(ids).logits
    with pytest.raises(RuntimeError, match="stop"), pruned.pruned(model, (1, 1, 1, 0.5)):
        assert not torch.equal(model(ids).logits, before)
        raise RuntimeError("stop")
    assert torch.equal(model(ids).logits, before)
