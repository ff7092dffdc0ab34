"""SST-2: read from lines."""

import pytest

from lorakit import lab
from lorakit.lab.tasks.sst2 import without_test_labels


@pytest.fixture
def folder(tmp_path):
    for name, rows in {"train": 4, "dev": 2, "test": 3}.items():
        lines = [f"film number {row} of {name}\t{row % 2}" for row in range(rows)]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines))
    return tmp_path


def test_lines_become_texts_with_the_names_of_their_classes(folder):
    task = lab.sst2(folder)
    assert [len(task.split(name)) for name in ("train", "validation", "test")] == [4, 2, 3]
    assert task.test[1] == lab.Example("film number 1 of test", "positive") and task.test[0].answer == "negative"
    assert task.labels == ("negative", "positive") and task.metric == "accuracy"
    assert "test split: 3 sentences" in task.note


def test_a_head_line_as_in_glue_is_no_example(folder):
    (folder / "dev.tsv").write_text("sentence\tlabel\na fine film \t1\n")
    assert lab.sst2(folder).validation == [lab.Example("a fine film", "positive")]


def test_where_test_labels_are_not_public_validation_is_the_test_and_the_note_says_so():
    train = [lab.Example(f"text {n}", "positive") for n in range(50)]
    (learnt, chosen, reported), note = without_test_labels(train, train[:7])
    assert reported == train[:7] and len(chosen) == 5 and len(learnt) == 45
    assert {e.prompt for e in learnt + chosen} == {e.prompt for e in train}
    assert "test labels are not public" in note and "7 sentences" in note and "5 training examples" in note


def test_the_real_data_set_has_the_sizes_it_is_known_by(real_data):
    task = lab.sst2(real_data / "sst2")
    assert [len(task.split(name)) for name in ("train", "validation", "test")] == [6920, 872, 1821]
    assert sum(e.answer == "positive" for e in task.test) == 909
