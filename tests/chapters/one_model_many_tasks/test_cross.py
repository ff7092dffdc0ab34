"""The kept adapters are specialists, and the record of it is whole."""

import json

import pytest

import lorakit as lk
from lorakit.chapters.one_model_many_tasks import cross as styles_cross
from lorakit.chapters.one_model_many_tasks.cross import cross_table, judge, load_styles, recorded, style_adapters
from lorakit.core.errors import LoRAError
from lorakit.lab.old_records import RESULTS, best_lr, load, select
from lorakit.lab.tasks.styles import HELD_OUT, STYLES


@pytest.fixture(scope="module")
def nano():
    model, tokenizer = lk.load_base("nano", device="cpu")
    return load_styles(model), tokenizer


def test_kept_adapters_are_small_files_that_lie_where_they_are_expected():
    for style, folder in style_adapters().items():
        assert folder.name == f"{style}-r4"
        assert (folder / "adapter_model.safetensors").stat().st_size <= 200_000
        config = json.loads((folder / "adapter_config.json").read_text())
        assert config["r"] == 4 and config["lora_alpha"] == 8


def test_each_adapter_is_best_on_its_own_style(nano):
    model, tokenizer = nano
    lk.set_adapter(model, "law")
    rows = cross_table(model, tokenizer, [None, *STYLES], limit=12)
    assert lk.active_adapter(model) == "law"
    for style in STYLES:
        scores = {row["adapter"]: row["bits_per_byte"] for row in rows if row["style"] == style}
        assert list(scores) == ["base", *STYLES] and min(scores, key=scores.get) == style
        assert scores[style] < 0.8 * scores["base"]


def test_limit_takes_of_each_kind_alike_and_kinds_differ(nano):
    model, tokenizer = nano
    lk.set_adapter(model, "code")
    by = [judge(model, tokenizer, "code", kind, limit=8)["bits_per_byte"] for kind in HELD_OUT]
    assert by == sorted(by), "the farther from training, the worse"
    assert by[0] < judge(model, tokenizer, "code", limit=6)["bits_per_byte"] < by[2]
    with pytest.raises(LoRAError, match="held_out must be one of combinations, words, patterns or None, got 'openers'"):
        judge(model, tokenizer, "code", "openers")


def test_limit_is_the_number_of_texts_that_are_judged(monkeypatch):
    asked = []
    found = {"bits_per_byte": 1.0, "loss": 0.0}
    monkeypatch.setattr(styles_cross, "evaluate", lambda model, tokenizer, task: asked.append(task.test) or found)
    assert judge(None, None, "law", limit=6)["perplexity"] == 1
    judge(None, None, "law", "words", limit=5)
    judge(None, None, "law")
    assert [len(test) for test in asked] == [6, 5, 300]
    assert [e.info["held_out"] for e in asked[0]] == [kind for kind in HELD_OUT for _ in range(2)]
    assert {e.info["held_out"] for e in asked[1]} == {"words"}


def test_the_record_has_every_adapter_on_every_style():
    found = recorded()
    assert (
        found["command"] == "python -m lorakit.chapters.one_model_many_tasks.cross"
        and found["date"]
        and found["versions"]
    )
    pairs = [(row["adapter"], row["style"]) for row in found["rows"]]
    assert pairs == [(a, s) for a in ("base", *STYLES) for s in STYLES]
    for row in found["rows"]:
        assert row["perplexity"] > 1 and row["bits_per_byte"] > 0
        assert set(row.get("by", HELD_OUT)) == set(HELD_OUT)
        assert ("by" in row) == (row["adapter"] in ("base", row["style"]))


def test_the_record_is_of_the_kept_adapters(nano):
    model, tokenizer = nano
    lk.set_adapter(model, "medicine")
    row = next(r for r in recorded()["rows"] if r["adapter"] == r["style"] == "medicine")
    assert judge(model, tokenizer, "medicine", "words")["bits_per_byte"] == pytest.approx(row["by"]["words"], abs=1e-3)


def test_the_kept_adapters_were_trained_at_the_rate_that_validation_chose():
    rows = load("styles")
    rates = best_lr(select(rows, seed=0), ("task",), "validation.bits_per_byte")
    for style in STYLES:
        finals = [row for row in select(rows, task=style) if row["run"]["lr"] == rates[style,]]
        assert sorted(row["run"]["seed"] for row in finals) == [0, 1, 2]


def test_missing_adapters_and_records_say_how_to_make_them(tmp_path, monkeypatch):
    with pytest.raises(LoRAError, match="python -m lorakit.chapters.results styles"):
        style_adapters(tmp_path)
    monkeypatch.setattr(styles_cross, "RECORD", tmp_path / "none.json")
    with pytest.raises(LoRAError, match="python -m lorakit.chapters.one_model_many_tasks.cross"):
        recorded()
    assert (RESULTS / "styles.jsonl").is_file()
