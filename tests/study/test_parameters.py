"""Parameter counts against published figures, real models and closed forms."""

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config

from lorakit.study.parameters import SHAPES, Decoder, count_by_target, count_lora_parameters


@pytest.mark.parametrize("name", ["GPT-3 6.7B", "GPT-3 13B", "GPT-3 175B"])
def test_gpt3s_totals_are_those_of_real_models(name):
    shape = SHAPES[name]
    config = GPT2Config(n_layer=shape.layers, n_embd=shape.width, n_head=shape.heads, n_positions=2048)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert shape.parameters == model.num_parameters()


@pytest.mark.parametrize(("r", "count"), [(1, 4_718_592), (2, 9_437_184), (64, 301_989_888)])
def test_gpt3_adapters_on_q_and_v_match_the_paper(r, count):
    assert count_lora_parameters(SHAPES["GPT-3 175B"], ("q", "v"), r) == count


def test_three_slices_cost_one_and_a_half_times_the_whole_c_attn():
    split = count_by_target(SHAPES["gpt2"], ("mlp", "q"), 2)
    assert list(split) == ["mlp", "q"] and split["mlp"] == 5 * split["q"]
    slices, whole = (count_lora_parameters(SHAPES["gpt2"], targets, 8) for targets in ("qkv", ["c_attn"]))
    assert whole == 12 * 8 * 4 * 768 and slices * 2 == whole * 3


def test_a_config_and_its_dict_give_the_same_and_others_are_refused():
    config = GPT2Config(n_layer=2, n_embd=64, n_head=2, n_inner=100)
    assert Decoder.of(config) == Decoder.of(config.to_dict()) == Decoder(2, 64, 2, 50257, 1024, 100, gelu_parts=4)
    with pytest.raises(KeyError):
        Decoder.of({"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 8})


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="unknown target 'w'"):
        count_lora_parameters(SHAPES["gpt2"], ("w",), 1)
