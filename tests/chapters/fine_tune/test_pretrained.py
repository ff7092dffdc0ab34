"""What a step costs: LoRA beside full fine-tuning, as measured and as recorded."""

from lorakit.chapters.fine_tune.pretrained import TARGETS, measure, recorded


def test_a_step_with_lora_costs_two_thirds_of_the_operations_and_less_memory():
    rows = {row["step"]: row for row in measure("nano", rounds=1)}
    assert list(rows) == [*TARGETS, "full, again"]
    full, qv, everywhere = (rows[name] for name in TARGETS)
    assert qv["trained"] < everywhere["trained"] < full["trained"]
    assert 0.6 < qv["operations"] / full["operations"] < 0.7
    assert qv["peak"] < everywhere["peak"] < full["peak"] and qv["kept"] < full["kept"]
    assert full["operations"] == rows["full, again"]["operations"] and min(row["seconds"] for row in rows.values()) > 0


def test_the_record_is_read_in_percent_of_full_fine_tuning():
    found = recorded()
    assert list(found.index) == [*TARGETS, "full, again"] and (found.loc["full", ["operations", "peak"]] == 100).all()
