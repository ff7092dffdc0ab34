"""The recorded truncations are whole and consistent with the adapters' own scores."""

import pytest

import lorakit as lk
from lorakit.chapters.inside_delta_w import truncation as adapter_truncation
from lorakit.chapters.inside_delta_w.truncation import KEPT, kept_adapters, rank_of, recorded


def test_every_kept_adapter_is_recorded_at_every_k():
    rows = {(row["adapter"], row["k"]): row for row in recorded()}
    assert set(rows) == {(name, k) for name in kept_adapters() for k in KEPT}
    for (name, _), row in rows.items():
        assert row["questions"] == (500 if name.startswith("sql") else 300)
        assert ("execution" in row) == name.startswith("sql") and row["loss"] > 0


def test_without_directions_it_is_the_base_and_with_all_of_them_the_adapter():
    rows = {(row["adapter"], row["k"]): row for row in recorded()}
    for name in kept_adapters():
        task = name.split("-")[0]
        assert rows[name, 0]["loss"] == rows[f"{task}-r64-seed0", 0]["loss"] > 2 * rows[name, 64]["loss"]


def test_names_tell_the_rank():
    assert rank_of("python-r8-seed0") == 8


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    with pytest.raises(lk.LoRAError, match="results adapters"):
        kept_adapters(tmp_path)
    monkeypatch.setattr(adapter_truncation, "RECORD", tmp_path / "absent.json")
    with pytest.raises(lk.LoRAError, match="truncation"):
        recorded()


def test_recovered_is_one_with_all_directions_and_zero_with_none():
    rows = [{"adapter": "sql-r64-seed0", "k": k, "execution": x} for k, x in ((0, 0.1), (1, 0.4), (64, 0.7))]
    assert [adapter_truncation.recovered(rows, "sql", k) for k in (0, 1, 64)] == [[0], [pytest.approx(0.5)], [1]]
    for task in ("sql", "python"):
        assert adapter_truncation.recovered(recorded(), task, 64) == [1, 1]
