"""The tasks judged by likelihood, Python source and three styles: sizes, splits, and that nano can read them all."""

import pytest

from lorakit.lab import load_base
from lorakit.lab.evaluate import context_length
from lorakit.lab.tasks import TASKS, styles
from lorakit.lab.tasks.python_source import SIZES as PYTHON_SIZES
from lorakit.lab.tasks.task import encode_all

SIZES = {"python": PYTHON_SIZES, **dict.fromkeys(styles.STYLES, styles.SIZES)}


@pytest.fixture(scope="module", params=SIZES)
def task(request):
    return TASKS[request.param]()


def test_the_task_has_its_sizes_on_every_version_of_python(task):
    assert {split: len(task.split(split)) for split in SIZES[task.name]} == SIZES[task.name]
    assert task.metric == "bits_per_byte" and task.scorer is None


def test_no_text_is_there_twice_in_one_split_or_in_two(task):
    texts = [example.prompt + example.answer for split in SIZES[task.name] for example in task.split(split)]
    assert len(set(texts)) == len(texts)


def test_nano_reads_every_text_within_its_context_and_loses_nothing(task):
    model, tokenizer = load_base("nano", device="cpu")
    examples = task.train + task.validation + task.test
    encoded = encode_all(examples, tokenizer, context_length(model))  # raises where one is too long
    for example, row in zip(examples[::20], encoded[::20], strict=True):
        text = example.prompt + example.answer
        assert tokenizer.decode(row.ids[:-1], clean_up_tokenization_spaces=False) == text
        # in two parts as in one text: the seam between prompt and answer is no strange place for the tokenizer
        assert row.ids[:-1] == tokenizer(text)["input_ids"]
