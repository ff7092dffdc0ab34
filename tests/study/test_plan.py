"""The planner: its formulas against real steps, and the case that the last chapter plans."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import lorakit as lk
from lorakit.lab.evaluate import answer_loss
from lorakit.study.activations import Training
from lorakit.study.memory import predict
from lorakit.study.memory_measured import measure_step
from lorakit.study.parameters import SHAPES, Decoder
from lorakit.study.plan import BASES, base_bytes, plan, plan_full
from tests.support.steps import SHORT, batch_of, build

SEVEN, THIRTEEN = SHAPES["GPT-3 6.7B"], SHAPES["GPT-3 13B"]


@pytest.mark.parametrize("keys", [4, 2, 1])
def test_a_llama_is_predicted_within_three_percent(keys):
    torch.manual_seed(0)
    config = LlamaConfig(
        num_hidden_layers=6, hidden_size=128, intermediate_size=344, num_attention_heads=4, num_key_value_heads=keys,
        vocab_size=500, max_position_embeddings=256, tie_word_embeddings=True,
    )  # fmt: skip
    model = lk.inject(LlamaForCausalLM(config), lk.LoRAConfig(r=4, targets=("q", "v")), seed=0).train()
    batch = batch_of(4, 100, 500)
    measured = measure_step(model, lambda: answer_loss(model, batch)[0])
    assert predict(config, Training.on(batch, r=4)).peak == pytest.approx(measured.peak, rel=0.03)


def test_the_parts_add_up_to_the_peak_and_agree_with_the_prediction():
    decoder = Decoder.of(build(SHORT[0]).config)
    how = dict(batch=2, length=32, r=4, targets=("q", "v"))
    found = plan(decoder, "fp32", **how)
    assert found.peak == predict(decoder, Training(method="lora", dtype="fp32", **how)).peak
    assert plan_full(decoder, "fp32", **how).peak == predict(decoder, Training(method="full", **how)).peak


def test_each_smaller_base_takes_less():
    sizes = [base_bytes(THIRTEEN, base) for base in BASES]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
    # A real quantizer, bitsandbytes 0.50, packs a matrix of 4096 x 1024 as NF4 with double quantization into 0.516114
    # bytes a number. 1028 bytes of it are one table of codes and one offset, whatever the size of the matrix.
    assert BASES["4-bit"] == pytest.approx(0.516114 - 1028 / (4096 * 1024), abs=1e-6)


def test_a_7b_model_in_10_gb_takes_a_quantized_base():
    row = dict(batch=1, length=512, r=8, targets=("q", "v"))
    assert base_bytes(SEVEN, "bf16") > 13e9
    assert plan(SEVEN, "bf16", recompute=True, **row).peak > 10e9
    assert plan(SEVEN, "8-bit", **row).peak < 10e9  # but only for short rows:
    assert plan(SEVEN, "8-bit", **row | {"length": 2048}).peak > 10e9
    assert plan(SEVEN, "4-bit", recompute=True, **row | {"length": 2048}).peak < 10e9


def test_a_merged_adapter_adds_no_work_and_an_unmerged_one_its_share():
    found = plan(THIRTEEN, batch=1, length=512, r=8, targets=("q", "v"))
    assert found.added_work == pytest.approx(40 * 2 * 8 * 2 * 5120 / (40 * 12 * 5120**2))
    assert found.trainable == 6_553_600 and found.percent < 1
