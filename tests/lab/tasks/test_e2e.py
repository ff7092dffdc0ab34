"""E2E: read from lines, grouped by meaning, scored against all references."""

import pytest

from lorakit import lab

VALID = [f"name : Place {n} | area : riverside||Place {n} is by the river ({k}) ." for n in range(20) for k in range(2)]
TEST = [
    "name : Blue Spice | Type : pub||Blue Spice is a pub .",
    "name : Cotto | near : Ranch||Cotto is near Ranch .",
    "name : Blue Spice | Type : pub||A pub called Blue Spice .",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LORAKIT_DATA", str(tmp_path))
    (tmp_path / "e2e").mkdir()
    (tmp_path / "e2e" / "valid.txt").write_text("\n".join(VALID) + "\n")
    (tmp_path / "e2e" / "test.txt").write_text("\n".join(TEST) + "\n")
    return tmp_path / "e2e"


def test_examples_are_grouped_by_meaning_and_keep_all_references(folder):
    task = lab.e2e()
    assert len(task.test) == 2
    spice = next(example for example in task.test if "Blue Spice" in example.prompt)
    assert spice.prompt == "attributes: name[Blue Spice], Type[pub]\nsentence:"
    assert spice.answer == " Blue Spice is a pub ."
    assert spice.info["references"] == ["Blue Spice is a pub .", "A pub called Blue Spice ."]


def test_without_a_training_file_training_and_validation_share_no_meaning_and_the_note_says_so(folder):
    task = lab.e2e()
    assert len(task.train) == 36 and len(task.validation) == 2, "nine tenths of 20 meanings, two references each"
    assert not {e.info["mr"] for e in task.train} & {e.info["mr"] for e in task.validation}
    assert "nine tenths of its validation split" in task.note and "test split" in task.note


def test_a_training_file_is_used_where_there_is_one(folder):
    (folder / "train.txt").write_text("name : A||A .\n")
    task = lab.e2e()
    assert [example.answer for example in task.train] == [" A ."]
    assert len(task.validation) == 20 and task.note.startswith("Trained on E2E's training split")


def test_any_reference_counts_and_silence_counts_for_nothing(folder):
    task = lab.e2e()
    last = [example.info["references"][-1] for example in task.test]
    assert task.score(last, task.test)["bleu"] == pytest.approx(100.0)
    silent = task.score([""] * len(task.test), task.test)
    assert silent == {"bleu": 0.0, "answered": 0.0}


def test_bleu_agrees_with_sacrebleu_called_plainly(folder):
    import sacrebleu

    task = lab.e2e()
    answers = [
        "Blue Spice is a cheap pub ." if "Spice" in e.prompt else "Cotto is a place near Ranch ." for e in task.test
    ]
    first = [example.info["references"][0] for example in task.test]
    second = [example.info["references"][-1] for example in task.test]  # the same again where there is only one
    expected = sacrebleu.corpus_bleu(answers, [first, second]).score
    assert task.score(answers, task.test)["bleu"] == pytest.approx(expected)
    assert 0 < expected < 100


def test_the_real_data_set_has_the_sizes_it_is_known_by(real_data):
    task = lab.e2e()
    assert len(task.test) == 630 and sum(len(e.info["references"]) for e in task.test) == 4693
    assert len({e.info["mr"] for e in task.train} | {e.info["mr"] for e in task.validation}) == 547
