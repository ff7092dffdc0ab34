"""The slider that cuts an update: what it shows at a rank."""

from lorakit import lab
from lorakit.chapters.low_rank_updates.explorer import truncation_explorer
from lorakit.lab.tasks.text_to_sql import score

INFO = {"table": "t", "columns": ["a", "b"], "types": ["text", "number"], "rows": [["x", 1], ["y", 2]]}


def example(question, answer):
    return lab.Example(f"table: t (a, b)\nquestion: {question}?\nsql:", f" {answer}", INFO)


EXAMPLES = (example("one", "SELECT b FROM t WHERE a = 'x'"), example("two", "SELECT b FROM t WHERE a = 'y'"))
ONE, TWO = (e.answer.strip() for e in EXAMPLES)


FEW = list(EXAMPLES)
TASK = lab.Task("tiny", FEW, FEW, FEW, "execution", score, max_new_tokens=4)


def found(accuracy, *answers):
    """What `lab.evaluate` finds at k = 0, 1, 4."""
    scores = [{"execution": a, "answers": list(texts)} for a, texts in zip(accuracy, answers, strict=True)]
    return dict(zip((0, 1, 4), scores, strict=False))


TOP = found([0.0, 0.5, 1.0], ("", "no"), ("", TWO), (ONE, TWO))
REST = found([1.0, 0.5, 0.0], (ONE, TWO), ("", TWO), ("", "no"))


def test_it_shows_the_accuracy_and_the_answer_at_the_rank():
    widget = truncation_explorer({"the top k": TOP, "all but the top k": REST}, TASK)
    assert widget.values["k"] == 1
    pictures = [widget.live_png()]
    widget.set(k=4)
    assert widget.data["accuracy"] == 1.0 and widget.data["mark"] == "✓" and widget.data["sql"] in (ONE, TWO)
    pictures.append(widget.live_png())
    widget.set(keep="all but the top k")
    assert widget.data["accuracy"] == 0.0 and widget.data["mark"] == "✗"
    assert "k = 4, keep all but the top k: 0% of 2 held-out questions right" in widget.describe(widget.data)
    assert len({*pictures, widget.live_png()}) == 3


def test_a_long_answer_is_cut_to_three_lines():
    long = (" ".join(["SELECT"] * 60), "")
    widget = truncation_explorer({"it": found([0.0, 0.0], long, long)}, TASK)
    assert max(widget.set(question=n).written.get_text().count("\n") for n in (1, 2)) == 2
