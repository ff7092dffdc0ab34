"""Examples become tensors: labels on the answer only, padding that changes nothing, seeded order."""

import pytest
import torch

from lorakit import lab
from lorakit.core.errors import LoRAError
from lorakit.lab.tasks.task import IGNORED, batch_indices, collate, encode_all, encode_prompts

EXAMPLE = lab.Example("question: 2 + 2?\nanswer:", " four", {})


def test_labels_cover_the_answer_and_its_end_and_nothing_else(tiny_tokenizer):
    (encoded,) = encode_all([EXAMPLE], tiny_tokenizer)
    prompt = len(EXAMPLE.prompt)  # one token per byte
    assert encoded.labels[:prompt] == [IGNORED] * prompt
    assert encoded.labels[prompt:] == encoded.ids[prompt:]
    assert encoded.ids[-1] == tiny_tokenizer.eos_token_id
    assert tiny_tokenizer.decode(encoded.ids[prompt:-1]) == " four"


def test_an_example_longer_than_the_limit_is_an_error_that_shows_it(tiny_tokenizer):
    length = len(encode_all([EXAMPLE], tiny_tokenizer)[0].ids)
    assert encode_all([EXAMPLE], tiny_tokenizer, max_length=length)
    with pytest.raises(LoRAError, match=f"{length} tokens long, more than {length - 1}: 'question"):
        encode_all([EXAMPLE], tiny_tokenizer, max_length=length - 1)


@pytest.mark.parametrize("prompt, answer, part", [("", " x", "prompt"), ("q:", "", "answer")])
def test_an_empty_prompt_or_answer_is_refused(tiny_tokenizer, prompt, answer, part):
    with pytest.raises(LoRAError, match=f"empty {part}"):
        encode_all([lab.Example(prompt, answer)], tiny_tokenizer)


def test_a_prompt_never_ends_with_the_end_of_text_token(tiny_tokenizer):
    class EndsEveryText:
        eos_token_id = tiny_tokenizer.eos_token_id

        def __call__(self, texts):
            return {"input_ids": [[1, 2, self.eos_token_id] for _ in texts]}

    assert encode_prompts(["a"], EndsEveryText()) == [[1, 2]]


def test_collate_pads_on_the_right_and_masks_the_padding(tiny_tokenizer):
    rows = encode_all([EXAMPLE, lab.Example("q:", " a")], tiny_tokenizer)
    batch = collate(rows, tiny_tokenizer.pad_token_id)
    short = len(rows[1].ids)
    assert {tensor.shape for tensor in batch.values()} == {torch.Size([2, len(rows[0].ids)])}
    assert batch["attention_mask"].sum(dim=1).tolist() == [len(row.ids) for row in rows]
    assert (batch["labels"][1, short:] == IGNORED).all()
    assert batch["input_ids"][1, :short].tolist() == rows[1].ids


def test_every_epoch_sees_every_example_once_in_a_new_order_of_the_seed():
    drawn = [batch_indices(10, 4, seed=3, step=step) for step in range(1, 6)]  # 20 draws: two epochs
    flat = [index for batch in drawn for index in batch]
    assert sorted(flat[:10]) == sorted(flat[10:]) == list(range(10))
    assert flat[:10] != flat[10:]
    assert drawn != [batch_indices(10, 4, seed=4, step=step) for step in range(1, 6)]
    assert sorted(batch_indices(3, 6, seed=0, step=1)) == [0, 0, 1, 1, 2, 2], "a batch may be larger than the data"


def test_scoring_wants_one_answer_per_example():
    task = lab.Task("t", [], [], [EXAMPLE], "exact", lambda answers, examples: {"exact": 1.0})
    with pytest.raises(LoRAError, match="0 answers for 1 examples"):
        task.score([], task.test)
    with pytest.raises(LoRAError, match='split must be "train"'):
        task.split("valid")
