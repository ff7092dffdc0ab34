"""The similarity widget shows what study.subspace computes."""

import pytest
import torch

from lorakit.chapters.inside_delta_w.explorer import SimilarityExplorer
from lorakit.study.adapter_factors import Update
from lorakit.study.subspace import floor, left_directions, right_directions, similarity

PATHS = [f"transformer.h.{i}.attn.c_attn.{part}" for i in range(2) for part in "qv"]


def draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def adapter(r, seed):
    return {path: Update(draw(r, 32, seed=seed + n), draw(24, r, seed=seed + n + 50)) for n, path in enumerate(PATHS)}


ADAPTERS = {"r = 4": adapter(4, 0), "r = 16": adapter(16, 100), "r = 16 again": adapter(16, 200)}
PAIRS = [("r = 4", "r = 16"), ("r = 16", "r = 16 again")]


@pytest.fixture
def explorer():
    return SimilarityExplorer(ADAPTERS, PAIRS, "Shared")


def test_the_number_is_phi_of_the_chosen_matrix(explorer):
    one, other = (ADAPTERS[name]["transformer.h.1.attn.c_attn.v"] for name in PAIRS[0])
    explorer.set(place="block 1 v", i=3, j=7)
    assert explorer.data["value"] == pytest.approx(
        float(similarity(right_directions(one.A), right_directions(other.A))[2, 6])
    )
    assert explorer.data["n"] == 32 and explorer.data["floor"] == floor(3, 7, 32)
    explorer.set(matrix="B (where it writes)")
    assert explorer.data["value"] == pytest.approx(
        float(similarity(left_directions(one.B), left_directions(other.B))[2, 6])
    )
    assert explorer.data["n"] == 24 and "φ(3, 7)" in str(explorer)


def test_an_adapter_of_one_direction_can_be_shown():
    one = {"mine": adapter(1, 7), "r = 16": ADAPTERS["r = 16"]}
    explorer = SimilarityExplorer(one, [("mine", "r = 16")], "Shared")
    assert explorer.data["phi"].shape == (1, 16)
