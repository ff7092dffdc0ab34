"""SST-2: read from lines."""

import pytest

from lorakit import lab


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LORAKIT_DATA", str(tmp_path))
    (tmp_path / "sst2").mkdir()
    for name, rows in {"train": 4, "dev": 2, "test": 3}.items():
        lines = [f"film number {row} of {name}\t{row % 2}" for row in range(rows)]
        (tmp_path / "sst2" / f"{name}.tsv").write_text("\n".join(lines))
    return tmp_path


def test_lines_become_texts_with_the_names_of_their_classes(folder):
    task = lab.sst2()
    assert [len(task.split(name)) for name in ("train", "validation", "test")] == [4, 2, 3]
    assert task.test[1] == lab.Example("film number 1 of test", "positive") and task.test[0].answer == "negative"
    assert task.labels == ("negative", "positive") and task.metric == "accuracy"
    assert "test split: 3 sentences" in task.note


def test_the_real_data_set_has_the_sizes_it_is_known_by(real_data):
    task = lab.sst2()
    assert [len(task.split(name)) for name in ("train", "validation", "test")] == [6920, 872, 1821]
    assert sum(e.answer == "positive" for e in task.test) == 909
