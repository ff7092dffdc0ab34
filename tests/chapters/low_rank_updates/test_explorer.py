"""The slider that cuts an update: what it works out beforehand, and what it shows of it."""

from contextlib import contextmanager

import pandas as pd
import torch

from lorakit import lab
from lorakit.chapters.low_rank_updates.explorer import truncation_explorer
from lorakit.lab.tasks.text_to_sql import score
from lorakit.show.answers_explorer import Answered, answer_at

INFO = {"table": "t", "columns": ["a", "b"], "types": ["text", "number"], "rows": [["x", 1], ["y", 2]]}


def example(question, answer):
    return lab.Example(f"table: t (a, b)\nquestion: {question}?\nsql:", f" {answer}", INFO)


EXAMPLES = (example("one", "SELECT b FROM t WHERE a = 'x'"), example("two", "SELECT b FROM t WHERE a = 'y'"))
ONE, TWO = (e.answer.strip() for e in EXAMPLES)


def answered(accuracy, *answers):
    ranks = (0, 1, 4)[: len(answers)]
    return Answered(pd.Series(accuracy, index=ranks), dict(zip(ranks, answers, strict=True)), EXAMPLES)


TOP = answered([0.0, 0.5, 1.0], ("", "no"), ("", TWO), (ONE, TWO))
REST = answered([1.0, 0.5, 0.0], (ONE, TWO), ("", TWO), ("", "no"))


def test_every_rank_is_evaluated_inside_its_block(tiny_model, tiny_tokenizer):
    seen, weight = [], tiny_model.get_parameter("transformer.ln_f.weight")
    before = weight.detach().clone()

    @contextmanager
    def at_rank(k):
        seen.append(k)
        with torch.no_grad():
            weight.mul_(k)
        yield
        with torch.no_grad():
            weight.copy_(before)

    few = list(EXAMPLES)
    task = lab.Task("tiny", few, few, few, "execution", score, max_new_tokens=4)
    cut = answer_at(at_rank, (0, 2), tiny_model, tiny_tokenizer, task, limit=1)
    assert seen == [0, 2] and list(cut.answers) == [0, 2] and len(cut.examples) == 1
    assert cut.answers[0] != cut.answers[2]
    assert str(cut) == "0: 0%  2: 0%"


def test_it_shows_the_accuracy_and_the_answer_at_the_rank():
    widget = truncation_explorer({"the top k": TOP, "all but the top k": REST})
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
    widget = truncation_explorer({"it": answered([0.0], (" ".join(["SELECT"] * 60), ""))})
    assert max(widget.set(question=n).written.get_text().count("\n") for n in (1, 2)) == 2
