"""The GPT-2 family: the shapes count what the released models count."""

import pytest
import torch

from lorakit.core.errors import LoRAError
from lorakit.lab.bases.shapes import FAMILY, random_gpt2
from lorakit.study.parameters import Decoder

SMALL = Decoder(1, 128, 2, 300, 64, inner=512)
COUNTS = {"gpt2": 124_439_808, "gpt2-medium": 354_823_168, "gpt2-large": 774_030_080, "gpt2-xl": 1_557_611_200}


@pytest.mark.parametrize("name", FAMILY)
def test_the_four_shapes_have_the_released_models_parameters(name):
    model = random_gpt2(name, device="meta", dtype=torch.bfloat16)
    assert sum(p.numel() for p in model.parameters()) == COUNTS[name] == FAMILY[name].parameters
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.config.n_head == FAMILY[name].width // 64
    assert model.config.eos_token_id == 50256


def test_the_seed_decides_the_weights_and_the_callers_random_state_stays():
    before = torch.get_rng_state()
    first, same, other = (random_gpt2(SMALL, seed=seed).lm_head.weight for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_a_name_that_the_family_has_not_is_refused():
    with pytest.raises(LoRAError, match="shape must be one of gpt2, gpt2-medium, gpt2-large, gpt2-xl, got 'gpt3'"):
        random_gpt2("gpt3")
