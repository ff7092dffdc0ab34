"""Chapter 10's pictures, its table of texts and its widget: thin views that show the numbers they are given."""

import pytest

import lorakit as lk
from lorakit.chapters.one_model_many_tasks import plots as many_plots
from lorakit.chapters.one_model_many_tasks.explorer import row_picker, write_rows
from lorakit.chapters.one_model_many_tasks.resident import fill
from lorakit.chapters.one_model_many_tasks.texts import samples, texts
from lorakit.core.errors import LoRAError
from lorakit.lab.evaluate import generate_answers
from lorakit.lab.tasks.styles import STYLES, style_task

CONFIG = lk.LoRAConfig(r=2, alpha=64, targets=("mlp",))
CROSS = [
    {"adapter": a, "style": s, "bits_per_byte": 1.25 if a == s else 3.5, "perplexity": 9.0}
    for a in ("base", *STYLES)
    for s in STYLES
]


@pytest.fixture
def model(tiny_model):
    fill(tiny_model, 3, CONFIG)
    return tiny_model


def words(fig):
    return [text.get_text() for ax in fig.axes for text in ax.texts]


# -- the table of texts


def test_texts_are_shown_as_written_and_no_tag_gets_through():
    shown = texts(["law", None], ["It <says>", "x"], ["shall", "def f(a):\n    return a < b"], "Two & more")
    assert str(shown) == "Two & more\nlaw   It <says> shall\nbase  x\n      def f(a):\n          return a < b"
    page = shown._repr_html_()
    assert "It &lt;says&gt;" in page and "a &lt; b" in page and "Two &amp; more" in page and "<says>" not in page
    assert many_plots.COLOURS["law"] in page and many_plots.COLOURS["base"] in page
    with pytest.raises(ValueError, match="zip"):
        texts(["law"], ["a", "b"], ["c", "d"])


def test_samples_show_what_is_learnt_from():
    tasks = {style: style_task(style, limit=3) for style in STYLES}
    shown = str(samples(tasks, 2))
    for task in tasks.values():
        for example in task.train[:2]:
            assert (example.prompt + example.answer).split("\n")[0] in shown
        assert task.train[2].answer.split("\n")[-1] not in shown


# -- the widget


def test_rows_are_what_each_adapter_writes_alone(model, tiny_tokenizer):
    names = ["a1", None, "a0", "a1"]
    alone = []
    for name in names:
        lk.set_adapter(model, name)
        alone += generate_answers(model, tiny_tokenizer, ["Once"], 6)
    shown = write_rows(model, tiny_tokenizer, "Once", names, 6)
    assert [row[2] for row in shown.rows] == alone and [row[0] for row in shown.rows] == ["a1", "base", "a0", "a1"]


def test_the_picker_writes_again_when_a_row_or_the_prompt_changes(model, tiny_tokenizer):
    pytest.importorskip("ipywidgets")
    picker = row_picker(model, tiny_tokenizer, ["a0", "a1", None], "Once", tokens=6)
    before = picker.shown
    assert [label for label, _ in picker.control(0).options] == ["base", "a0", "a1", "a2"]
    picker.control(0).value = "a2"
    assert picker.names == ["a2", "a1", None] and picker.shown != before
    assert picker.shown == write_rows(model, tiny_tokenizer, "Once", ["a2", "a1", None], 6)
    picker.control().value = "Twice"
    assert {row[1] for row in picker.shown.rows} == {"Twice"}
    assert picker.shown._repr_html_() == picker._widgets["out"].value
    picker.set(["a0", "a1", None], "Once")
    assert picker.shown == before and picker.control(0).value == "a0" and picker.control().value == "Once"


def test_a_wrong_row_or_prompt_leaves_the_picker_as_it_was(model, tiny_tokenizer):
    pytest.importorskip("ipywidgets")
    picker = row_picker(model, tiny_tokenizer, ["a0", None], "Once", tokens=4)
    before = picker.shown
    with pytest.raises(LoRAError, match="no adapter named 'b'"):
        picker.set(["b", None])
    with pytest.raises(LoRAError, match="has 2 rows, got 1"):
        picker.set(["a0"])
    assert picker.shown == before and picker.names == ["a0", None]
    picker.control().value = ""
    assert "empty" in picker._widgets["out"].value and picker.shown == before
    picker.control().value = "Once more"
    assert picker.prompt == "Once more" and picker.shown != before
    assert lk.active_adapter(model) == "a2" and not model.training


def test_the_saved_page_has_the_texts_without_a_kernel(model, tiny_tokenizer):
    picker = row_picker(model, tiny_tokenizer, ["a0", None], "Once", tokens=4)
    bundle = picker._repr_mimebundle_()
    assert bundle["text/plain"] == str(picker.shown) and bundle["text/html"] == picker.shown._repr_html_()


# -- the plots


def test_the_cross_table_shows_every_value_and_marks_the_own_ones():
    fig = many_plots.cross(CROSS, "Specialists")
    assert sorted(words(fig)) == ["1.25"] * 3 + ["3.50"] * 9
    bold = [text.get_text() for text in fig.axes[0].texts if text.get_weight() == "bold"]
    assert bold == ["1.25"] * 3 and "Specialists" in fig.describe()


def test_held_out_has_a_panel_for_each_style_and_a_pair_of_bars_for_each_kind():
    by = {"combinations": 0.5, "words": 1.5, "patterns": 2.5}
    rows = [{**row, "by": by} if row["adapter"] in ("base", row["style"]) else row for row in CROSS]
    fig = many_plots.held_out(rows, "Farther")
    assert len(fig.axes) == 3 and all(len(ax.patches) == 6 for ax in fig.axes)
    assert [bar.get_height() for bar in fig.axes[0].patches] == list(by.values()) * 2


def test_throughput_has_a_line_for_each_way_that_was_measured():
    rows = [
        {"way": way, "adapters": k, "ratio": k * slow, "interval": [0.9 * k * slow, 1.25 * k * slow]}
        for way, slow in (("mixed", 1), ("merging", 2))
        for k in (1, 4)
    ]
    (ax,) = many_plots.throughput_lines(rows, "Fast").axes
    drawn = [container.lines[0].get_ydata().tolist() for container in ax.containers]
    assert drawn == [[100, 25], [50, 12.5]]
    bars = ax.containers[0].lines[2][0].get_segments()
    assert bars[0][:, 1].tolist() == pytest.approx([80, 100 / 0.9])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "4"]


def test_a_thousand_adapters_beside_as_many_merged_copies():
    rows = [{"adapters": n, "tensors": n * 1e5, "switch_us": 20.0} for n in (1, 1000)]
    left, right = many_plots.thousand(rows, 17_000_000, "Many").axes
    assert list(left.lines[0].get_ydata()) == [0.1, 100] and list(left.lines[1].get_ydata()) == [17, 17_000]
    assert list(right.lines[0].get_ydata()) == [20, 20] and right.get_ylim()[0] == 0


def test_strengths_and_sums_show_the_given_scores():
    curve = {"law": {0: 2.5, 1: 1.0, 2: 1.5}, "medicine": {0: 5.0, 1: 5.5, 2: 7.0}}
    (ax,) = many_plots.strengths(curve, "Strength").axes
    assert list(ax.lines[0].get_ydata()) == [2.5, 1.0, 1.5] and list(ax.lines[2].get_ydata()) == [5.0, 5.5, 7.0]
    rings = [line.get_xydata().tolist() for line in (ax.lines[1], ax.lines[3])]
    assert rings == [[[1, 1.0]], [[0, 5.0]]]
    (ax,) = many_plots.sums({"base": {"law": 2.5, "medicine": 5.0}, "sum": {"law": 1.5, "medicine": 2.25}}, "Sum").axes
    assert sorted(words(many_plots.sums({"a": {"law": 1.5}}, "t"))) == ["1.50"]
    assert [round(bar.get_height(), 2) for bar in ax.patches] == [2.5, 5.0, 1.5, 2.25]


def test_every_picture_is_small_enough_for_a_notebook():
    for fig in (many_plots.cross(CROSS, "t"), many_plots.sums({"a": {"law": 1.0}}, "t")):
        assert len(fig._repr_mimebundle_()["image/png"]) < 40_000
