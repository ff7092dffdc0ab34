"""Many adapters on one base: every way to answer gives the same answers, and the measurements count what is there."""

import pytest
import torch

import lorakit as lk
from lorakit.chapters.one_model_many_tasks.many_adapters import change_times, fill, resident
from lorakit.chapters.one_model_many_tasks.serving import mixed, peft_mixed, swapping, write_tokens
from lorakit.core.errors import LoRAError

CONFIG = lk.LoRAConfig(r=2, alpha=64, targets=("mlp",))  # a large alpha: the adapters answer differently
NAMES = ["a1", None, "a0", "a1", "a2"]


def merging(model, ids, names, tokens):
    return swapping(model, ids, names, tokens, merged=True)


@pytest.fixture
def model(tiny_model):
    fill(tiny_model, 3, CONFIG)
    return tiny_model


@pytest.fixture
def ids():
    return torch.randint(256, (5, 7), generator=torch.Generator().manual_seed(1))


def test_all_ways_give_each_row_the_answer_of_its_own_adapter(model, ids):
    alone = []
    for row, name in enumerate(NAMES):
        lk.set_adapter(model, name)
        alone.append(write_tokens(model, ids[row : row + 1], 6))
    assert len({tuple(write_tokens_of(model, name, ids[:1])) for name in {*NAMES}}) == 4, "they answer differently"
    lk.set_adapter(model, "a2")
    for way in (mixed, swapping, merging):
        assert torch.equal(way(model, ids, NAMES, 6), torch.cat(alone)), way.__name__
        assert lk.active_adapter(model) == "a2" and not lk.is_merged(model)


def write_tokens_of(model, name, ids):
    with lk.using(model, name):
        return write_tokens(model, ids, 12)[0].tolist()


def test_tokens_are_those_of_generate(model, ids):
    written = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=5, min_new_tokens=5, pad_token_id=256
    )
    assert torch.equal(write_tokens(model, ids, 5), written[:, 7:])


def test_a_failing_way_leaves_nothing_merged(model, ids):
    lk.set_adapter(model, "a0")
    before = model.transformer.h[0].mlp.c_fc.weight.clone()
    for way in (swapping, merging, mixed):
        with pytest.raises(LoRAError, match="no adapter named 'b'"):
            way(model, ids, ["a1", "b", "a1", "a0", "a0"], 2)
        with pytest.raises(Exception, match="index out of range|at least"):
            way(model, ids + 10_000, NAMES, 2)
        assert lk.active_adapter(model) == "a0" and not lk.is_merged(model)
        assert torch.equal(model.transformer.h[0].mlp.c_fc.weight, before)
    with pytest.raises(LoRAError, match="no adapter named 'b'"):
        change_times(model, ["a1", "b"])
    assert lk.active_adapter(model) == "a0"


def test_resident_counts_real_tensors_and_agrees_with_the_formula(tiny_model):
    found = resident(tiny_model, (1, 3, 10))
    one = 4 * 4 * sum(i + o for i, o in [(32, 128), (128, 32)] * 2)  # float32, r = 4, two blocks
    assert list(found["tensors"]) == [one, 3 * one, 10 * one]
    assert len(lk.adapter_names(tiny_model)) == 10
    assert (found["switch_us"] > 0).all() and found["inject_s"].is_monotonic_increasing


def test_peft_answers_the_same_with_the_same_files(model, make_tiny, ids, tmp_path):
    peft = pytest.importorskip("peft")
    for name in ("a0", "a1", "a2"):
        lk.save_adapter(model, tmp_path / name, name=name)
    theirs = peft.PeftModel.from_pretrained(make_tiny(), tmp_path / "a0", adapter_name="a0")
    for name in ("a1", "a2"):
        theirs.load_adapter(tmp_path / name, adapter_name=name)
    theirs.eval()
    assert torch.equal(peft_mixed(theirs, ids, NAMES, 5), mixed(model, ids, NAMES, 5))
