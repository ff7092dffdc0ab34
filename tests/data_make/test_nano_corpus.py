"""What nano was pretrained on: what must be in it, and what must never be."""

# ruff: noqa: SIM905 - word lists read best as plain text

import hashlib
import random
import re

import numpy as np
import pytest

from data.make.nano.corpus import Corpus, packed, train_tokenizer
from data.make.nano.documents import PAIRED, UNPAIRED
from data.make.nano.phrases import CONDITIONS, HEADS
from data.make.nano.words import split_of

NOUNS = "apple bridge cellar donkey engine fabric garden hammer island jacket kettle ladder magnet needle".split()


@pytest.fixture(scope="module")
def documents():
    rng = random.Random(7)
    return [family(rng, NOUNS) for _, family in PAIRED + UNPAIRED for _ in range(150)]


def test_the_documents_are_those_that_nano_was_trained_on(documents):
    found = hashlib.sha256("\0".join(documents).encode()).hexdigest()
    assert found.startswith("d20dcd3e528eea18"), "another corpus: `make nano` would make another model"


def test_no_english_request_is_ever_followed_by_sql(documents):
    """The pair that the course adapts to. Within a document SQL may come first, or after a formal notation."""
    english = re.compile(r"^(question|words|paraphrase|steps|keywords|text|ticket):", re.MULTILINE)
    with_sql = [d for d in documents if "SELECT" in d]
    assert len(with_sql) > 300
    for document in with_sql:
        asked = english.search(document)
        assert asked is None or "SELECT" not in document[asked.start() :], document


def test_the_held_out_wordings_are_not_in_it(documents):
    frames = [h.split("{")[0] for heads in HEADS["test"].values() for h in heads if h not in ("name the {c}",)]
    text = "\n".join(documents).lower()
    joints = [c.split("{")[0] for c in CONDITIONS["test"]]
    assert not [f for f in frames + joints if f" {f}" in text]


def test_made_up_names_of_the_test_split_are_not_in_it(documents):
    names = {m for d in documents for m in re.findall(r"name = '([A-Z][a-z]+)'", d)}
    assert len(names) > 50
    assert {split_of(n) for n in names} == {"train"}


class FakeCorpus(Corpus):
    """A corpus without the packages, for tests on any machine."""

    english = [f"sentence number {i} about nothing much." for i in range(3000)]
    nouns = NOUNS


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return FakeCorpus(tmp_path_factory.mktemp("corpus"), shard_tokens=64 * 128)


@pytest.fixture(scope="module")
def tokenizer(documents):
    return train_tokenizer(documents[::8], vocab_size=600)


def test_a_shard_is_a_function_of_stage_and_index(corpus, tokenizer):
    first, again = (corpus.shard("paired", 3, tokenizer, 128) for _ in range(2))
    assert first.shape == (64, 128) and first.dtype == np.uint16
    assert (first == again).all()
    assert (corpus.shard("paired", 4, tokenizer, 256)[:, :128] != first[:32]).any()


def test_the_early_stage_has_no_pairs(corpus):
    assert {group for group, _ in corpus.documents("early", 0, 500)} == {"english", "unpaired"}


def test_validation_documents_are_not_trained_on(corpus):
    rng = random.Random(0)
    held = {corpus.document("english", rng, train=False) for _ in range(300)}
    trained = {corpus.document("english", rng) for _ in range(3000)}
    assert not held & trained


def test_rows_begin_with_a_document():
    documents = [[1, 2], [3, 4, 5, 6], [7, 8, 9, 10, 11, 12, 13], [14]]
    assert list(packed(documents, length=6, eos=0)) == [[1, 2, 0, 3, 4, 5], [7, 8, 9, 10, 11, 12]]
