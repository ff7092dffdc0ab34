"""Distillation: a student is a smaller model in its own right, and its loss is Hinton's."""

import pytest
import torch
import torch.nn.functional as F

import lorakit as lk
from lorakit.core.errors import LoRAError
from lorakit.rivals.distillation import chosen_blocks, distil_loss, make_student


@pytest.fixture(params=["gpt2", "llama"])
def base(request, gpt2, make_llama):
    return gpt2 if request.param == "gpt2" else make_llama(layers=3)


@pytest.fixture
def batch():
    ids = torch.tensor([[10, 20, 30, 40, 50, 60], [7, 6, 5, 4, 3, 256]])
    labels = torch.tensor([[-100, -100, 30, 40, 50, 60], [-100, -100, -100, 4, 3, -100]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def test_blocks_are_chosen_evenly_from_the_first_on():
    assert chosen_blocks(4, 2) == [0, 2] and chosen_blocks(12, 6) == [0, 2, 4, 6, 8, 10]
    assert chosen_blocks(3, 3) == [0, 1, 2] and chosen_blocks(5, 1) == [0]


def test_a_student_is_a_smaller_model_of_its_own(base, tmp_path):
    layers = base.config.num_hidden_layers
    student = make_student(base, layers - 1)
    assert type(student) is type(base) and student.config.num_hidden_layers == layers - 1
    assert base.config.num_hidden_layers == layers, "the base keeps its own config"
    assert sum(p.numel() for p in student.parameters()) < sum(p.numel() for p in base.parameters())
    assert all(p.requires_grad for p in student.parameters())
    mine = {p.data_ptr() for p in student.parameters()}
    assert not mine & {p.data_ptr() for p in base.parameters()}, "nothing is shared with the base"
    tied = student.get_output_embeddings().weight is student.get_input_embeddings().weight
    assert tied == (base.get_output_embeddings().weight is base.get_input_embeddings().weight)
    ids = torch.tensor([[1, 2, 3, 4]])
    same = dict(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False, pad_token_id=256)
    cached, plain = (student.generate(use_cache=use, **same) for use in (True, False))
    assert torch.equal(cached, plain), "the cache has a place for each of the blocks that are left"
    student.save_pretrained(tmp_path)
    again = type(base).from_pretrained(tmp_path)
    assert torch.equal(again(ids).logits, student(ids).logits)


def test_a_student_of_all_blocks_is_the_base(base):
    ids = torch.tensor([[1, 2, 3, 4]])
    assert torch.equal(make_student(base, base.config.num_hidden_layers)(ids).logits, base(ids).logits)


def test_the_loss_is_the_formula(base, batch):
    student, T, w = make_student(base, 1), 3.0, 0.7
    found, count = distil_loss(base, T, w)(student, batch)
    assert count == 6
    total = 0.0
    for row in range(2):
        for position in range(1, 6):
            true = int(batch["labels"][row, position])
            if true == -100:
                continue
            own = student(batch["input_ids"]).logits[row, position - 1].double()
            soft = base(batch["input_ids"]).logits[row, position - 1].double()
            p, q = F.softmax(soft / T, -1), F.softmax(own / T, -1)
            total += w * T**2 * (p * (p / q).log()).sum().item() - (1 - w) * own.log_softmax(-1)[true].item()
    assert found.item() == pytest.approx(total, rel=1e-5)


def test_what_makes_no_sense_is_refused(base, batch, make_tiny):
    for layers in (0, base.config.num_hidden_layers + 1):
        with pytest.raises(LoRAError, match="layers must be between 1 and"):
            make_student(base, layers)
    adapted = make_tiny(seed=2)
    lk.inject(adapted, lk.LoRAConfig(r=2, targets=("q",)))
    with pytest.raises(LoRAError, match="carries LoRA adapters"):
        make_student(adapted, 1)
