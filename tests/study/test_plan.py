"""The planner: its formulas agree with the prediction (test_memory), and the case that the last chapter plans."""

import pytest

from lorakit.study.activations import Training
from lorakit.study.memory import predict
from lorakit.study.parameters import SHAPES, Decoder
from lorakit.study.plan import BASES, base_bytes, plan, plan_full
from tests.support.steps import SHORT, build

SEVEN, THIRTEEN = SHAPES["GPT-3 6.7B"], SHAPES["GPT-3 13B"]


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
