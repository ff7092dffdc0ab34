"""The pretraining text as token rows: English and generated documents, mixed by stage, shard by shard.

A shard is a pure function of (stage, index), so training can stop anywhere and go on exactly where it was.
"""

import random
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from data.make.nano import sources
from data.make.nano.families import PAIRED, UNPAIRED, write

ROWS = 8192  # tokens of a shard = ROWS x 128
# share of documents: English, structure alone, request and structured answer side by side
MIXTURE = {"early": (0.45, 0.55, 0.0), "paired": (0.10, 0.20, 0.70)}
HELD_OUT = 400  # documents of each English source kept for validation


@dataclass
class Corpus:
    """English from packages under `cache`, and generators. `documents` and `rows` are seeded by their arguments."""

    cache: Path

    @cached_property
    def english(self) -> list[str]:
        """Glosses and Austen's paragraphs in a fixed random order, the held-out ones first."""
        root = sources.unpacked(self.cache)
        entries = sources.wordnet(root)
        glosses = [f"{word} ({part}): {gloss}" for word, part, gloss in entries]
        rng = random.Random(0)
        novels = [p[:1200] for p in sources.austen(root)]
        rng.shuffle(glosses)
        rng.shuffle(novels)
        held = glosses[:HELD_OUT] + novels[:HELD_OUT]
        rest = glosses[HELD_OUT:] + novels[HELD_OUT:] * 2  # novels read better than glosses: seen more often
        rng.shuffle(rest)
        return held + rest

    @cached_property
    def nouns(self) -> list[str]:
        return sources.nouns(sources.wordnet(sources.unpacked(self.cache)))

    def documents(self, stage: str, seed: int, count: int, train=True) -> list[tuple[str, str]]:
        """`count` documents as (family group, text)."""
        rng = random.Random(f"{stage}/{seed}/{train}")
        groups = rng.choices(("english", "unpaired", "paired"), MIXTURE[stage], k=count)
        return [(group, self.document(group, rng, train)) for group in groups]

    def document(self, group: str, rng: random.Random, train=True) -> str:
        if group == "english":
            low, high = (2 * HELD_OUT, len(self.english)) if train else (0, 2 * HELD_OUT)
            return self.english[rng.randrange(low, high)]
        return write(rng, self.nouns, PAIRED if group == "paired" else UNPAIRED)

    def shard(self, stage: str, index: int, tokenizer, length: int) -> np.ndarray:
        """Training rows, uint16 of shape (tokens of a shard / length, length)."""
        wanted = ROWS * 128 // length
        packer = Packer(length, tokenizer.eos_token_id)
        chunk = 0
        while len(packer.rows) < wanted:
            texts = [t for _, t in self.documents(stage, index * 1000 + chunk, 4000)]
            packer.add(tokenizer(texts)["input_ids"])
            chunk += 1
        return np.array(packer.rows[:wanted], dtype=np.uint16)

    def validation(self, tokenizer, length=128, rows=48) -> dict[str, np.ndarray]:
        """Held-out rows by group of families: {"english": (rows, length), "unpaired": ..., "paired": ...}."""
        out = {}
        for group in ("english", "unpaired", "paired"):
            rng, packer = random.Random(f"validation/{group}"), Packer(length, tokenizer.eos_token_id)
            while len(packer.rows) < rows:
                packer.add(tokenizer([self.document(group, rng, train=False) for _ in range(100)])["input_ids"])
            out[group] = np.array(packer.rows[:rows], dtype=np.uint16)
        return out


class Packer:
    """Fills rows with whole documents. Every row begins with a document, as a prompt does; one that does not fit
    ends the row, and what is left of it is dropped."""

    def __init__(self, length: int, eos: int):
        self.length, self.eos, self.rows, self.row = length, eos, [], []

    def add(self, documents: list[list[int]]):
        for ids in documents:
            self.row += [*ids, self.eos]
            if len(self.row) >= self.length:
                self.rows.append(self.row[: self.length])
                self.row = []
