"""What chapter 00 shows: tables, queries run, answers side by side, the strength slider, the box to ask."""

import pytest
import torch

import lorakit as lk
from lorakit import lab
from lorakit.chapters.start_here.ask_box import AskBox
from lorakit.chapters.start_here.explorer import sweep_strength
from lorakit.chapters.start_here.tables import run_on_table, side_by_side, table_of
from lorakit.lab.tasks.text_to_sql import score
from tests.support.tiny_models import fill

ROWS = [["x", 1], ["y", 2], ["<b>", 3]]


def example(name="t", where="a"):
    info = {"table": name, "columns": ["a", "b"], "types": ["text", "number"], "rows": ROWS}
    return lab.Example(f"table: {name} (a, b)\nquestion: {where}?\nsql:", f" SELECT b FROM {name} WHERE a = 'y'", info)


def task():
    few = [example("t"), example("u"), example("t", "b")]
    return lab.Task("tiny", few, few, few, "execution", score, max_new_tokens=6)


def test_a_table_shows_its_name_and_rows_and_escapes_them():
    table = table_of(example())
    assert table.values.tolist() == ROWS and table.columns.name == "table t"
    assert "&lt;b&gt;" in table.to_html() and "<b>" not in table.to_html()


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT b FROM t WHERE a = 'y'", "2"),
        ("SELECT a FROM t WHERE b > 9", "(no rows)"),
        ("SELECT c FROM t", "✗ no such column: c"),
        ("DROP TABLE t", "✗ not authorized"),
        ("", "(no rows)"),
    ],
)
def test_a_query_shows_its_rows_or_what_is_wrong_with_it(sql, shown):
    found = run_on_table(sql, example())
    assert list(found.columns) == [sql] and list(found[sql]) == [shown]


def test_answers_are_marked_by_their_result_not_by_their_text():
    answers = side_by_side([example()], base=["nonsense"], LoRA=["select b from t where b = 2"])
    assert list(answers.loc["a?", "base"]) == ["✗", "nonsense"]
    assert list(answers.loc["a?", "LoRA"]) == ["✓", "select b from t where b = 2"]
    page = answers._repr_html_()
    assert 'color:#00664B;background:#E6F5F0;padding:0 3px">✓' in page and page.count("✗") == 1


def adapted(model):
    lk.inject(model, lk.LoRAConfig(r=2, alpha=4, targets=("c_attn",)), name="sql", seed=0)
    fill(model, "sql", size=3.0)
    return model


def test_strength_zero_answers_as_the_base_and_one_as_the_adapter(tiny_model, tiny_tokenizer):
    base = lab.evaluate(tiny_model, tiny_tokenizer, task())["answers"]
    model = adapted(tiny_model)
    full = lab.evaluate(model, tiny_tokenizer, task())["answers"]
    sweep = sweep_strength(model, tiny_tokenizer, task(), (0, 1, 2))
    assert [sweep.found[strength]["answers"] for strength in (0, 1)] == [base, full] and base != full
    assert lab.evaluate(model, tiny_tokenizer, task())["answers"] == full, "the strength is 1 again afterwards"


@torch.no_grad()
def test_asking_runs_the_query_with_the_adapter_or_without_it(tiny_model, tiny_tokenizer, monkeypatch):
    pytest.importorskip("ipywidgets")
    model, ids, said = adapted(tiny_model).eval(), torch.arange(8)[None], []
    tuned = model(ids).logits
    with lk.using(model, None):
        base = model(ids).logits

    def answer(model, tokenizer, prompts, max_new_tokens):
        said.append((prompts[0], model(ids).logits))
        return ["SELECT COUNT(*) FROM t"]

    monkeypatch.setattr("lorakit.chapters.start_here.ask_box.generate_answers", answer)
    box = AskBox(model, tiny_tokenizer, task().test)
    assert [e.info["table"] for e in box.examples] == ["t", "u"], "every table once"
    assert box.ask(0, "how many? ").iloc[0, 0] == "3"
    assert said[-1][0] == "table: t (a, b)\nquestion: how many?\nsql:" and torch.equal(said[-1][1], tuned)
    box.ask(0, "?", with_adapter=False)
    assert torch.equal(said[-1][1], base) and torch.equal(model(ids).logits, tuned)


def test_the_ask_box_answers_when_its_controls_change(tiny_model, tiny_tokenizer, monkeypatch):
    pytest.importorskip("ipywidgets")
    answers = iter(["SELECT 1", "SELECT 22", "SELECT 333", "SELECT c"])
    monkeypatch.setattr("lorakit.chapters.start_here.ask_box.generate_answers", lambda *a, **k: [next(answers)])
    box = AskBox(adapted(tiny_model), tiny_tokenizer, task().test)
    assert "SELECT 1" in box.shown.value
    box.question.value = "b?"
    assert "SELECT 22" in box.shown.value
    box.table.value = 1
    assert "SELECT 333" in box.shown.value and "table u" in box.shown.value
    box.lora.value = False
    assert "no such column" in box.shown.value
    lk.merge(box.model)
    box.question.value = "more?"
    assert "merge" in box.shown.value and "no such column" not in box.shown.value, "not a stale answer"
    lk.unmerge(box.model)
    bundle = box._repr_mimebundle_()
    assert {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"} <= set(bundle)
