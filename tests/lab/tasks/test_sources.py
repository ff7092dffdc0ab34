"""Where tasks are read from, and what is said where nothing is there."""

import pytest

from lorakit import lab
from lorakit.core.errors import LoRAError
from lorakit.lab.tasks.styles import style_task
from lorakit.lab.tasks.text_to_sql import text_to_sql
from lorakit.lab.tasks.tickets import ticket_triage

MEANING = "name : A | area : riverside||A is by the river ."


@pytest.mark.parametrize(
    ("task", "title", "files", "bad", "expected"),
    [
        (lab.e2e, "E2E", {"valid.txt": MEANING, "test.txt": MEANING}, "name : B", r"attributes\|\|sentence"),
        (lab.e2e, "E2E", {"valid.txt": MEANING, "test.txt": MEANING}, "name : B|| ", r"attributes\|\|sentence"),
        *(
            (lab.sst2, "SST-2", {f"{name}.tsv": "fine\t1" for name in ("train", "dev", "test")}, bad, "sentence<TAB>0")
            for bad in ("a film", "a film\t2", "\t1", "a film\tpositive")
        ),
    ],
)
def test_a_data_set_that_is_not_here_or_damaged_is_said(task, title, files, bad, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("LORAKIT_DATA", str(tmp_path))
    folder = tmp_path / task.__name__
    folder.mkdir()
    for name, line in files.items():
        (folder / name).write_text(f"{line}\n")
    assert task().test
    last = folder / list(files)[-1]
    last.write_text(f"{files[last.name]}\n{bad}\n")
    with pytest.raises(LoRAError, match=f"{last.name}, line 2: expected `{expected}"):
        task()
    last.write_text("\n")
    with pytest.raises(LoRAError, match=f"{last.name} is not there, or empty. {title} is read from"):
        task()
    monkeypatch.delenv("LORAKIT_DATA", raising=False)
    with pytest.raises(LoRAError, match=f"the {title} data is not here.*LORAKIT_DATA"):
        task()


@pytest.mark.parametrize("content", [None, "{ half"])
def test_a_bundled_file_that_is_missing_or_broken_says_what_to_run(tmp_path, monkeypatch, content):
    for read, which, name, file, module in (
        (text_to_sql, (), "FOLDER", "train.jsonl", "text_to_sql"),
        (ticket_triage, (), "FILE", "tickets.jsonl", "tickets.write"),
        (style_task, ("law",), "FOLDER", "law.jsonl", "styles.write"),
    ):
        monkeypatch.setitem(read.__globals__, name, tmp_path if name == "FOLDER" else tmp_path / file)
        if content:
            (tmp_path / file).write_text(content)
        with pytest.raises(LoRAError, match=f"{file} cannot be read .*: python -m data.make.{module} makes it"):
            read(*which)
