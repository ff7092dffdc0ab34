"""Where the student's loop forgets its gradients is a matter of taste, as long as it does."""

import pytest
import torch

from lorakit import by_hand
from lorakit.chapters.fine_tune import checks
from lorakit.show.mistakes import mistakes

NOT_BETWEEN = "optimizer.zero_grad() → pass"
LOOPS = mistakes(by_hand.train, {
    "between forward and backward": by_hand.train,
    "before the forward pass": (NOT_BETWEEN, "loss = model → optimizer.zero_grad(); loss = model"),
    "after the step": (NOT_BETWEEN, "optimizer.step() → optimizer.step(); optimizer.zero_grad()"),
})  # fmt: skip


@pytest.mark.parametrize("place", LOOPS)
def test_gradients_may_be_forgotten_anywhere_but_between_backward_and_step(place):
    assert checks.train.judge(LOOPS[place])


def test_the_reference_forgets_what_an_interrupted_step_left():
    def train(*args, **how):
        for parameter in by_hand.lora_layers(args[0])["transformer.h.1.attn.c_attn"].parameters():
            parameter.grad = torch.ones_like(parameter)
        return by_hand.train(*args, **how)

    assert checks.train.judge(train)
