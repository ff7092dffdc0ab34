"""The text-to-SQL task: its files, and a score that runs SQL safely."""

import time
from dataclasses import replace

import pytest

from lorakit.lab.tasks.task import Example
from lorakit.lab.tasks.text_to_sql import run_sql, same_result, score, text_to_sql

INFO = {
    "table": "city",
    "columns": ["name", "country", "population"],
    "types": ["text", "text", "number"],
    "rows": [["Rome", "Italy", 28], ["Oslo", "Norway", 7], ["Milan", "Italy", 14]],
}
ROME = Example("…\nsql:", " SELECT population FROM city WHERE name = 'Rome'", INFO)


@pytest.fixture(scope="module")
def task():
    return text_to_sql()


def test_sizes_and_surface(task):
    assert (len(task.train), len(task.validation), len(task.test)) == (4000, 500, 500)
    assert task.metric == "execution"
    for example in task.test[:50] + task.train[:50]:
        assert example.prompt.startswith("table: ") and "\nquestion: " in example.prompt
        assert example.prompt.endswith("\nsql:") and example.answer.startswith(" SELECT ")


def test_gold_answers_score_one_and_shuffled_ones_next_to_nothing(task):
    gold = [e.answer.strip() for e in task.test]
    assert task.score(gold, task.test) == {"execution": 1.0}
    shifted = gold[1:] + gold[:1]
    assert task.score(shifted, task.test)["execution"] < 0.01


def test_every_gold_answer_is_not_empty(task):
    assert all(run_sql(e.answer, e.info) for e in task.validation + task.test)


def test_no_prompt_twice_or_in_two_splits(task):
    prompts = [e.prompt for e in task.train + task.validation + task.test]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize(
    "answer",
    [
        "SELECT population FROM city WHERE name = 'Rome'",
        "select population from city where name='Rome';",
        "SELECT MAX(population) FROM city WHERE name LIKE 'Rome'",
    ],
)
def test_any_sql_with_the_right_rows_counts(answer):
    assert same_result(answer, ROME)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "28",
        "SELECT population FROM city",
        "SELECT population FROM town WHERE name = 'Rome'",
        "SELECT population FROM city WHERE name = 'Rome",
        "SELECT population FROM city WHERE name = 'Rome'; DROP TABLE city",
        "DELETE FROM city",
        "DROP TABLE city",
        "ATTACH 'x.db' AS x",
        "PRAGMA table_info(city)",
        "SELECT load_extension('x')",
        "SELECT randomblob(900000000)",
        "SELECT 1 \0",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    ],
)
def test_wrong_broken_and_hostile_sql_is_wrong_and_leaves_the_table_alone(answer):
    assert not same_result(answer, ROME)
    assert run_sql("SELECT COUNT(*) FROM city", INFO) == [(3,)]


def test_a_query_without_end_is_stopped():
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"
    started = time.monotonic()
    assert not same_result(endless, ROME)
    assert time.monotonic() - started < 5


def test_order_counts_only_where_the_gold_answer_sorts():
    both = Example("", "SELECT name FROM city WHERE country = 'Italy'", INFO)
    assert same_result("SELECT name FROM city WHERE country = 'Italy' ORDER BY name", both)
    ordered = replace(both, answer=both.answer + " ORDER BY name")
    assert same_result("SELECT name FROM city WHERE country = 'Italy' ORDER BY name", ordered)
    assert not same_result("SELECT name FROM city WHERE country = 'Italy' ORDER BY name DESC", ordered)


def test_a_row_too_many_is_wrong():
    both = Example("", "SELECT country FROM city WHERE country = 'Italy'", INFO)
    assert not same_result("SELECT DISTINCT country FROM city WHERE country = 'Italy'", both)


def test_scores_of_a_mixed_list():
    answers = [ROME.answer, "SELECT 28", "nonsense"]
    assert score(answers, [ROME] * 3) == {"execution": pytest.approx(2 / 3)} and score([], []) == {"execution": 0.0}
