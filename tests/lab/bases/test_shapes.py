"""The GPT-2 family: the shapes count what the released models count, and are loaded by name where they are at hand."""

import pytest
import torch

import lorakit as lk
from lorakit.core.errors import LoRAError
from lorakit.lab.bases.shapes import FAMILY, gpt2_tokenizer, random_base, random_gpt2
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


def test_a_random_base_is_ready_to_be_adapted():
    model, _ = random_base(SMALL, dtype=torch.bfloat16)
    assert not model.training and model.dtype == torch.bfloat16
    lk.inject(model, lk.LoRAConfig(r=2, targets=("q", "v")))
    ids = torch.arange(8)[None]
    assert model(input_ids=ids).logits.shape == (1, 8, 300)


def test_without_the_tokenizers_files_there_is_none(monkeypatch, tmp_path):
    monkeypatch.delenv("LORAKIT_DATA", raising=False)
    assert random_base(SMALL)[1] is None
    monkeypatch.setenv("LORAKIT_DATA", str(tmp_path))
    assert gpt2_tokenizer() is None


def test_the_real_tokenizer_writes_and_reads_gpt2s_tokens(real_data):
    if not (real_data / "gpt2-tokenizer").is_dir():
        pytest.skip("LORAKIT_DATA has no gpt2-tokenizer")
    tokenizer = gpt2_tokenizer()
    assert tokenizer("Hello world, don't")["input_ids"] == [15496, 995, 11, 836, 470]
    text = "Zürich → 東京, 3.14\n\tend"
    assert tokenizer.decode(tokenizer(text)["input_ids"], clean_up_tokenization_spaces=False) == text
    assert len(tokenizer) == FAMILY["gpt2"].vocabulary
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == 50256 and tokenizer.padding_side == "left"


@pytest.mark.parametrize("name", ["gpt2-medium", "gpt2-xl"])
def test_a_folder_of_that_name_under_lorakit_models_is_loaded(name, tmp_path, monkeypatch, tiny_model, tiny_tokenizer):
    tiny_model.save_pretrained(tmp_path / name)
    tiny_tokenizer.save_pretrained(tmp_path / name)
    monkeypatch.setenv("LORAKIT_MODELS", str(tmp_path))
    model, tokenizer = lk.load_base(name, device="cpu")
    assert type(model).__name__ == "GPT2LMHeadModel" and model.config.n_embd == 32
    assert torch.equal(model.lm_head.weight, tiny_model.lm_head.weight)
    assert tokenizer.pad_token_id == 256


def test_a_name_that_the_family_has_not_is_refused():
    with pytest.raises(LoRAError, match="shape must be one of gpt2, gpt2-medium, gpt2-large, gpt2-xl, got 'gpt3'"):
        random_gpt2("gpt3")
