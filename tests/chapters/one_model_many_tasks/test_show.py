"""Chapter 10's pictures, its table of texts and its widget: thin views that show the numbers they are given."""

import pytest

import lorakit as lk
from lorakit.chapters.one_model_many_tasks.many_adapters import fill
from lorakit.chapters.one_model_many_tasks.texts import COLOURS, RowPicker, texts, write_texts
from lorakit.core.errors import LoRAError
from lorakit.lab.evaluate import generate_answers

CONFIG = lk.LoRAConfig(r=2, alpha=64, targets=("mlp",))


@pytest.fixture
def model(tiny_model):
    fill(tiny_model, 3, CONFIG)
    return tiny_model


# -- the table of texts


def test_texts_are_shown_as_written_and_no_tag_gets_through():
    shown = texts(["law", None], ["It <says>", "x"], ["shall", "\ndef f(a):\n    return a < b"])
    assert list(shown["adapter"]) == ["law", "base"]
    page = shown._repr_html_()
    assert "It &lt;says&gt;" in page and "def f(a):\n    return a &lt; b" in page and "<says>" not in page
    assert COLOURS["law"] in page and COLOURS["base"] in page
    with pytest.raises(ValueError, match="same length"):
        texts(["law"], ["a", "b"], ["c", "d"])


def test_texts_come_in_the_order_of_the_prompts_whatever_their_lengths(model, tiny_tokenizer):
    prompts = ["ab", "a much longer prompt", "abc", "xy", "the longest prompt of all five"]
    names = ["a1", None, "a0", "a1", "a2"]
    alone = []
    for prompt, name in zip(prompts, names, strict=True):
        lk.set_adapter(model, name)
        alone += generate_answers(model, tiny_tokenizer, [prompt], 8)
    assert len(set(alone)) > 2
    lk.set_adapter(model, "a1")
    model.train()
    assert write_texts(model, tiny_tokenizer, prompts, names, 8) == alone
    assert model.training and lk.active_adapter(model) == "a1"
    with pytest.raises(ValueError, match="shorter"):
        write_texts(model, tiny_tokenizer, ["a", "b"], ["a0"])


# -- the widget


def test_the_picker_writes_again_when_a_row_or_the_prompt_changes(model, tiny_tokenizer):
    pytest.importorskip("ipywidgets")
    picker = RowPicker(model, tiny_tokenizer, ["a0", "a1", None], "Once", tokens=6)
    before = picker.shown
    assert list(before["text"]) == write_texts(model, tiny_tokenizer, ["Once"] * 3, ["a0", "a1", None], 6)
    assert [label for label, _ in picker.rows[0].options] == ["base", "a0", "a1", "a2"]
    assert [row.label for row in picker.rows] == ["a0", "a1", "base"]
    picker.rows[0].value = "a2"
    assert list(picker.shown["adapter"]) == ["a2", "a1", "base"]
    assert list(picker.shown["text"]) == write_texts(model, tiny_tokenizer, ["Once"] * 3, ["a2", "a1", None], 6)
    picker.prompt.value = "Twice"
    assert set(picker.shown["prompt"]) == {"Twice"} and picker.out.value == picker.shown._repr_html_()
    picker.prompt.value, picker.rows[0].value = "Once", "a0"
    assert picker.shown.equals(before)


def test_an_empty_prompt_is_said_and_the_next_one_is_written(model, tiny_tokenizer):
    pytest.importorskip("ipywidgets")
    picker = RowPicker(model, tiny_tokenizer, ["a0", None], "Once", tokens=4)
    picker.prompt.value = ""
    assert "empty" in picker.out.value
    picker.prompt.value = "Once more"
    assert set(picker.shown["prompt"]) == {"Once more"} and "Once more" in picker.out.value
    with pytest.raises(LoRAError, match="no adapter named 'b'"):
        write_texts(model, tiny_tokenizer, ["Once"], ["b"])


def test_the_saved_page_has_the_texts_without_a_kernel(model, tiny_tokenizer):
    pytest.importorskip("ipywidgets")
    picker = RowPicker(model, tiny_tokenizer, ["a0", None], "Once", tokens=4)
    bundle = picker._repr_mimebundle_()
    assert bundle["text/plain"] == str(picker.shown) and bundle["text/html"] == picker.shown._repr_html_()
