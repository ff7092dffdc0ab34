"""Many adapters on one base: every way to answer gives the same answers, and the measurements count what is there."""

import json
import mmap

import pytest
import torch

import lorakit as lk
from lorakit.chapters.one_model_many_tasks import many_adapters
from lorakit.chapters.one_model_many_tasks.many_adapters import as_rows, change_times, peft_twin, throughput
from lorakit.chapters.one_model_many_tasks.resident import adapter_bytes, fill, occupied, resident, switch_seconds
from lorakit.chapters.one_model_many_tasks.serving import (
    merging,
    mixed,
    peft_names,
    swapping,
    write_texts,
    write_tokens,
)
from lorakit.core.errors import LoRAError
from lorakit.lab.evaluate import generate_answers

CONFIG = lk.LoRAConfig(r=2, alpha=64, targets=("mlp",))  # a large alpha: the adapters answer differently


@pytest.fixture
def model(tiny_model):
    fill(tiny_model, 3, CONFIG)
    return tiny_model


@pytest.fixture
def ids():
    return torch.randint(256, (5, 7), generator=torch.Generator().manual_seed(1))


NAMES = ["a1", None, "a0", "a1", "a2"]


def test_the_adapters_answer_differently(model, ids):
    logits = []
    for name in (None, "a0", "a1", "a2"):
        lk.set_adapter(model, name)
        with torch.no_grad():
            logits.append(model(input_ids=ids).logits)
    assert all((a - b).abs().max() > 1e-3 for i, a in enumerate(logits) for b in logits[:i])


def test_all_ways_give_each_row_the_answer_of_its_own_adapter(model, ids):
    alone = []
    for row, name in enumerate(NAMES):
        lk.set_adapter(model, name)
        alone.append(write_tokens(model, ids[row : row + 1], 6))
    alone = torch.cat(alone)
    lk.set_adapter(model, "a2")
    for way in (mixed, swapping, merging):
        assert torch.equal(way(model, ids, NAMES, 6), alone), way.__name__
        assert lk.active_adapter(model) == "a2" and not lk.is_merged(model)


def test_tokens_are_those_of_generate(model, ids):
    lk.set_adapter(model, "a0")
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
    with pytest.raises(LoRAError, match="2 names for 5 rows"):
        merging(model, ids, ["a0", "a1"], 2)


def test_texts_come_in_the_order_of_the_prompts_whatever_their_lengths(model, tiny_tokenizer):
    prompts = ["ab", "a much longer prompt", "abc", "xy", "the longest prompt of all five"]
    alone = []
    for prompt, name in zip(prompts, NAMES, strict=True):
        lk.set_adapter(model, name)
        alone += generate_answers(model, tiny_tokenizer, [prompt], 8)
    assert len(set(alone)) > 2
    lk.set_adapter(model, "a1")
    model.train()
    assert write_texts(model, tiny_tokenizer, prompts, NAMES, 8) == alone
    assert model.training and lk.active_adapter(model) == "a1"
    with pytest.raises(LoRAError, match="one name per row"):
        write_texts(model, tiny_tokenizer, [], [])
    with pytest.raises(LoRAError, match="1 names for 2 prompts"):
        write_texts(model, tiny_tokenizer, ["a", "b"], ["a0"])


def test_fill_goes_on_where_it_stopped_and_is_seeded(tiny_model, make_tiny):
    other = make_tiny()
    fill(tiny_model, 2, CONFIG)
    assert fill(tiny_model, 4, CONFIG) == ["a0", "a1", "a2", "a3"] == lk.adapter_names(tiny_model)
    fill(other, 4, CONFIG)
    for one, two in zip(tiny_model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    layer = tiny_model.transformer.h[0].mlp.c_fc
    assert not torch.equal(layer.adapters["a2"].lora_B, layer.adapters["a3"].lora_B)


def test_resident_counts_real_tensors_and_agrees_with_the_formula(tiny_model):
    rows = resident(tiny_model, (1, 3, 10), CONFIG, switches=5)
    one = 4 * 2 * sum(i + o for i, o in [(32, 128), (128, 32)] * 2)  # float32, r = 2, two blocks
    assert [row["tensors"] for row in rows] == [one, 3 * one, 10 * one]
    assert adapter_bytes(tiny_model, "a9") == one
    assert len(lk.adapter_names(tiny_model)) == 10
    assert all(row["switch_us"] > 0 and row["inject_s"] > 0 for row in rows)
    assert (occupied() is None) == (rows[0]["process"] is None)


def test_resident_sees_the_process_grow(tiny_model):
    if occupied() is None:
        pytest.skip("this system does not tell what a process occupies")
    size, before = 80_000_000, occupied()
    with mmap.mmap(-1, size) as held:  # straight from the system: a tensor may be given memory freed by an earlier test
        held.write(b"1" * size)
        assert occupied() - before > 0.9 * size


def test_a_switch_changes_the_active_adapter(model):
    lk.set_adapter(model, None)
    assert 0 < switch_seconds(model, ["a1"], 3) < 1
    assert lk.active_adapter(model) == "a1"
    times = change_times(model, ["a0", "a1"], switches=4)
    assert set(times) == {"switch", "merge"} and times["merge"] > times["switch"] > 0
    assert not lk.is_merged(model)


def test_throughput_compares_the_ways_and_gives_plain_rows(model):
    compared = throughput(model, ["a0", "a1"], tokens=2, repeats=2, rows=4)
    rows = json.loads(json.dumps(as_rows(2, compared)))
    assert [row["way"] for row in rows] == ["one adapter", "mixed", "swapping", "merging", "one adapter, again"]
    assert rows[0]["ratio"] == 1 and all(row["per_second"] > 0 and row["adapters"] == 2 for row in rows)


def test_peft_answers_the_same_with_the_same_files(model, make_tiny, ids, tmp_path):
    peft = pytest.importorskip("peft")
    for name in ("a0", "a1", "a2"):
        lk.save_adapter(model, tmp_path / name, name=name)
    theirs = peft.PeftModel.from_pretrained(make_tiny(), tmp_path / "a0", adapter_name="a0")
    for name in ("a1", "a2"):
        theirs.load_adapter(tmp_path / name, adapter_name=name)
    theirs.eval()
    assert torch.equal(peft_names(theirs, ids, NAMES, 5), mixed(model, ids, NAMES, 5))


def test_the_peft_twin_has_the_same_projections_and_takes_part(model, make_tiny):
    pytest.importorskip("peft")
    theirs = peft_twin(make_tiny(), ["a0", "a1", "a2"], CONFIG)
    per_adapter = sum(p.numel() for n, p in theirs.named_parameters() if ".a1." in n)
    assert per_adapter * 4 == adapter_bytes(model, "a1")
    compared = throughput(model, ["a0", "a1", "a2"], theirs, tokens=2, repeats=2, rows=3)
    assert "peft" in compared.jobs and "peft" in change_times(model, ["a0", "a1"], theirs, switches=2)


def test_the_command_writes_a_record_that_says_how_it_was_made(tmp_path, monkeypatch, make_tiny, tiny_tokenizer):
    monkeypatch.setattr(many_adapters.lk, "load_base", lambda name, device=None: (make_tiny(), tiny_tokenizer))
    out = tmp_path / "many.json"
    made = many_adapters.main(["--repeats", "2", "--spread", "1", "2", "--resident", "1", "2", "--out", str(out)])
    found = json.loads(made.read_text())
    assert (
        found["command"] == "python -m lorakit.chapters.one_model_many_tasks.many_adapters"
        and found["date"]
        and found["versions"]["torch"]
    )
    assert {row["adapters"] for row in found["throughput"]} == {1, 2}
    assert [row["adapters"] for row in found["resident"]] == [1, 2] and found["change_us"]["switch"] > 0


def test_a_missing_record_says_how_to_make_it():
    with pytest.raises(LoRAError, match="python -m lorakit.chapters.one_model_many_tasks.many_adapters --device tpu"):
        many_adapters.recorded("tpu")
