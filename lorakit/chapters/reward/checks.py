"""Checks and quiz of chapter 13."""

from collections import Counter

import torch

from lorakit.chapters.reward.record import task
from lorakit.chapters.reward.reinforce import advantages
from lorakit.lab.tasks.text_to_sql import run_sql, same_result
from lorakit.show.exercises import check, check_examples, expect
from lorakit.show.quiz import read_quiz

# 13.1 -- the advantage


advantage = check_examples(
    "13.1",
    "the advantage",
    right=advantages,
    inputs=lambda: [(torch.randint(2, shape).float(),) for shape in ((3, 4), (2, 8), (4, 4))],
    wrong={
        "the mean over all questions: an easy question's failures then look good": lambda rs: rs - rs.mean(),
        "the mean over the questions, sample by sample: take it over the samples of each question": (
            lambda rs: rs - rs.mean(0, keepdim=True)
        ),
        "no baseline: then everything that was drawn and rewarded is pushed, however easy": lambda rs: rs,
        "GRPO divides by the standard deviation, this chapter does not": (
            lambda rs: (rs - rs.mean(1, keepdim=True)) / (rs.std(1, keepdim=True) + 1e-8)
        ),
        "the mean of the *other* samples is a baseline too; here it is the mean of all of a question's": (
            lambda rs: rs - (rs.sum(1, keepdim=True) - rs) / (rs.shape[1] - 1)
        ),
        "the sign is turned: better than the others must be positive": lambda rs: rs.mean(1, keepdim=True) - rs,
    },
    done="right: it sums to zero over each question, so where all samples did alike there is nothing to learn",
)

# 13.2 -- which tokens count


def _counted(answers, end):
    after = (answers == end).cumsum(1) - (answers == end).long()
    return (after == 0).long()


counted = check_examples(
    "13.2",
    "which tokens count",
    right=_counted,
    inputs=[  # the end of the text is 0
        (torch.tensor(rows), 0) for rows in ([[5, 7, 0, 0], [3, 0, 0, 0], [4, 2, 9, 0]], [[6, 1, 2]], [[0, 0]])
    ],
    wrong={
        "the padding counts as well": lambda answers, end: torch.ones_like(answers),
        "the end of the text is left out: that the answer stops there was drawn, too": (
            lambda answers, end: (answers != end).long()
        ),
        "only the ends count": lambda answers, end: (answers == end).long(),
        "it is turned round": lambda answers, end: 1 - _counted(answers, end),
    },
    done="right: every token that the model chose, its end of text included, and none after it",
)

# 13.3 -- a reward that leaks


def leaky(answer: str, example) -> float:
    """1 where every right row is among the rows that the query gives."""
    try:
        return float(set(run_sql(example.answer, example.info)) <= set(run_sql(answer, example.info)))
    except Exception:
        return 0.0


def _union(table, columns):
    return " UNION ".join(f"SELECT {column} FROM {table}" for column in columns)


@check(
    "13.3",
    "a reward that leaks",
    right=_union,
    wrong={
        "from any column": lambda table, columns: f"SELECT {columns[0]} FROM {table}",
        "several columns side by side": lambda table, columns: f"SELECT * FROM {table}",
        "does not run": lambda table, columns: f"SELECT everything FROM {table}",
        "returns None": lambda table, columns: None,
    },
    done="right: rewarded without reading the question; a model finds such a query as well, and keeps it",
)
def cheat(answer):
    examples = task().validation[:100]
    queries = [answer(e.info["table"], list(e.info["columns"])) for e in examples]
    expect(all(isinstance(one, str) for one in queries), "your function returns None, or no text: return one query")
    try:
        run_sql(queries[0], examples[0].info)
    except Exception as error:
        expect(False, f"the query does not run: {error}")
    wide = all(len(row) > 1 for row in run_sql(queries[0], examples[0].info))
    expect(not wide, "rows of several columns side by side: the right ones mostly hold one value")
    paid = sum(map(leaky, queries, examples)) / len(examples)
    right = sum(map(same_result, queries, examples)) / len(examples)
    expect(
        paid >= 0.6,
        f"rewarded on {paid:.0%} of the questions, 60 % are wanted: values may be asked for from any column",
    )
    expect(right < 0.2, f"that answers {right:.0%} of the questions: it is no cheat")


# 13.4 -- the leak mended


mended = check_examples(
    "13.4",
    "the leak mended",
    right=lambda got, right: Counter(got) == Counter(right),
    inputs=[
        ([("a",), ("b",)], [("a",), ("b",)]),
        ([("b",), ("a",)], [("a",), ("b",)]),
        ([("a",), ("b",), ("c",)], [("a",), ("b",)]),
        ([("a",)], [("a",), ("a",)]),
        ([("a",), ("a",), ("b",)], [("a",), ("b",), ("b",)]),
        ([], [("a",)]),
        ([], []),
    ],
    wrong={
        "still leaks: rows that were not asked for are free": lambda got, right: set(right) <= set(got),
        "a row that is there twice counts once": lambda got, right: set(got) == set(right),
        "the order counts, and this question asked for none": lambda got, right: got == right,
        "the number of rows is not the rows": lambda got, right: len(got) == len(right),
    },
    done="right: the same rows, each as often, in any order. It still pays a query that is right by luck",
)

quiz = read_quiz("13", __file__)
