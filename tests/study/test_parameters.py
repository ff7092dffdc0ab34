"""Parameter counts against published figures and closed forms."""

import pytest

from lorakit.study.parameters import (
    SHAPES,
    ModelShape,
    count_by_target,
    count_lora_parameters,
    shape_of_config,
    size_in_bytes,
)


@pytest.mark.parametrize(
    ("name", "total"),
    [("gpt2", 124_439_808), ("gpt2-medium", 354_823_168), ("gpt2-large", 774_030_080), ("gpt2-xl", 1_557_611_200)],
)
def test_model_totals_are_the_released_ones(name, total):
    assert SHAPES[name].parameters == total


def test_gpt3_is_175_billion():
    assert SHAPES["GPT-3 175B"].parameters / 1e9 == pytest.approx(174.6, abs=0.1)


@pytest.mark.parametrize(("r", "count"), [(1, 4_718_592), (2, 9_437_184), (64, 301_989_888)])
def test_gpt3_adapters_on_q_and_v_match_the_paper(r, count):
    assert count_lora_parameters(SHAPES["GPT-3 175B"], ("q", "v"), r) == count


def test_the_35_megabyte_checkpoint():
    count = count_lora_parameters(SHAPES["GPT-3 175B"], ("q", "v"), 4)
    assert size_in_bytes(count, "fp16") == 37_748_736  # the paper rounds it to 35 MB
    assert size_in_bytes(count, "fp32") == 2 * size_in_bytes(count, "fp16")


def test_three_slices_cost_one_and_a_half_times_the_whole_c_attn():
    shape = SHAPES["gpt2"]
    slices, whole = count_lora_parameters(shape, "qkv", 8), count_lora_parameters(shape, ["c_attn"], 8)
    assert whole == 12 * 8 * 4 * 768
    assert slices * 2 == whole * 3


def test_split_by_target_keeps_the_order_and_the_sum():
    split = count_by_target(SHAPES["gpt2"], ("mlp", "q"), 2)
    assert list(split) == ["mlp", "q"]
    assert split["mlp"] == 5 * split["q"]


def test_impossible_choices_are_refused():
    with pytest.raises(ValueError, match="already holds"):
        count_lora_parameters(SHAPES["gpt2"], ("q", "c_attn"), 1)
    with pytest.raises(ValueError, match="no fused"):
        count_lora_parameters(SHAPES["GPT-3 175B"], ("c_attn",), 1)
    with pytest.raises(ValueError, match="unknown target"):
        count_lora_parameters(SHAPES["gpt2"], ("w",), 1)
    with pytest.raises(ValueError, match="at least 1"):
        count_lora_parameters(SHAPES["gpt2"], ("q",), 0)


def test_a_config_gives_its_shape():
    config = {"n_layer": 2, "n_embd": 64, "vocab_size": 100, "n_positions": 32}
    assert shape_of_config(config, "tiny") == ModelShape("tiny", 2, 64, 100, 32)
