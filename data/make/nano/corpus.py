"""The pretraining text as token rows: English and generated documents, mixed by stage, shard by shard; the tokenizer.

A shard is a pure function of (stage, index), so training can stop anywhere and go on exactly where it was.
"""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from data.make.nano import sources
from data.make.nano.documents import PAIRED, UNPAIRED, write

# share of documents: English, structure alone, request and structured answer side by side
MIXTURE = {"early": (0.45, 0.55, 0.0), "paired": (0.10, 0.20, 0.70)}
GROUPS = ("english", "unpaired", "paired")
HELD_OUT = 400  # documents of each English source kept for validation
END = "<|endoftext|>"
# in order: a digit | SQL-like capitals | a lower-case word | a capitalised word | signs | spaces
PIECES = r"\p{N}| ?\p{Lu}{2,}(?!\p{Ll})| ?\p{Ll}+|\p{Lu}\p{Ll}*| ?[^\s\p{L}\p{N}]+|\s+?(?=\s)|\s|\p{L}+"


@dataclass
class Corpus:
    """English from packages under `cache`, and generators. `documents` and `shard` are seeded by their arguments."""

    cache: Path
    shard_tokens: int = 1 << 20

    @cached_property
    def english(self) -> list[str]:
        """Glosses and Austen's paragraphs in a fixed random order, the held-out ones first."""
        root = sources.unpacked(self.cache)
        glosses = [f"{word} ({part}): {gloss}" for word, part, gloss in sources.wordnet(root)]
        novels = [p[:1200] for p in sources.austen(root)]
        rng = random.Random(0)
        rng.shuffle(glosses)
        rng.shuffle(novels)
        held = glosses[:HELD_OUT] + novels[:HELD_OUT]
        rest = glosses[HELD_OUT:] + novels[HELD_OUT:] * 2  # novels read better than glosses: seen more often
        rng.shuffle(rest)
        return held + rest

    @cached_property
    def nouns(self) -> list[str]:
        return sources.nouns(sources.wordnet(sources.unpacked(self.cache)))

    def documents(self, stage: str, seed: int, count: int) -> list[tuple[str, str]]:
        """`count` documents to train on, as (family group, text)."""
        rng = random.Random(f"{stage}/{seed}/True")
        groups = rng.choices(GROUPS, MIXTURE[stage], k=count)
        return [(group, self.document(group, rng)) for group in groups]

    def document(self, group: str, rng: random.Random, train=True) -> str:
        if group == "english":
            low, high = (2 * HELD_OUT, len(self.english)) if train else (0, 2 * HELD_OUT)
            return self.english[rng.randrange(low, high)]
        return write(rng, self.nouns, PAIRED if group == "paired" else UNPAIRED)

    def shard(self, stage: str, index: int, tokenizer, length: int) -> np.ndarray:
        """Training rows, uint16 of shape (tokens of a shard / length, length)."""
        batches = ([text for _, text in self.documents(stage, index * 1000 + chunk, 4000)] for chunk in count())
        return first_rows(self.shard_tokens // length, batches, tokenizer, length)

    def validation(self, tokenizer, length=128, rows=48) -> dict[str, np.ndarray]:
        """Held-out rows by group of families: {"english": (rows, length), "unpaired": ..., "paired": ...}."""
        found = {}
        for group in GROUPS:
            rng = random.Random(f"validation/{group}")
            batches = ([self.document(group, rng, train=False) for _ in range(100)] for _ in count())
            found[group] = first_rows(rows, batches, tokenizer, length)
        return found


def first_rows(wanted: int, batches: Iterable[list[str]], tokenizer, length: int) -> np.ndarray:
    documents = (ids for texts in batches for ids in tokenizer(texts)["input_ids"])
    return np.array(list(islice(packed(documents, length, tokenizer.eos_token_id), wanted)), dtype=np.uint16)


def packed(documents: Iterable[list[int]], length: int, eos: int) -> Iterator[list[int]]:
    """Rows of whole documents. Every row begins with a document, as a prompt does; one that does not fit ends the row,
    and what is left of it is dropped."""
    row = []
    for ids in documents:
        row += [*ids, eos]
        if len(row) >= length:
            yield row[:length]
            row = []


def train_tokenizer(texts, vocab_size=4096) -> PreTrainedTokenizerFast:
    """Nano's tokenizer: byte-level BPE, made so that copying a name or a number is copying tokens.

    Digits stand alone. A capitalised word never swallows the space before it, so "Rome" is the same tokens after a
    space, a quote or a bracket; lower-case words and SQL's keywords do take theirs, as in GPT-2. END is the end of a
    document, and the padding.
    """
    tokenizer = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=256,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def write_held_out(corpus: Corpus, tokenizer, file: Path) -> None:
    """Text of the kinds nano was pretrained on and none that it has read, for measuring what an adaptation forgets."""
    found = corpus.validation(tokenizer, rows=32)
    texts = {group: [tokenizer.decode(row) for row in ids.tolist()] for group, ids in found.items()}
    file.write_text(json.dumps(texts, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
