"""Where the student's loop forgets its gradients is a matter of taste, as long as it does."""

import pytest
import torch

from lorakit import by_hand
from lorakit.chapters.fine_tune import checks


def loop(place):
    def train(model, tokenizer, pairs, steps=100, batch=32, lr=1e-2, seed=0):
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
        generator, losses = torch.Generator().manual_seed(seed), []
        model.train()
        for _ in range(steps):
            if place == "before":
                optimizer.zero_grad()
            chosen = torch.randperm(len(pairs), generator=generator)[:batch].tolist()
            loss = model(**by_hand.collate([pairs[i] for i in chosen], tokenizer)).loss
            if place == "between":
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if place == "after":
                optimizer.zero_grad()
            losses.append(loss.item())
        model.eval()
        return losses

    return train


@pytest.mark.parametrize("place", ["before", "between", "after"])
def test_gradients_may_be_forgotten_anywhere_but_between_backward_and_step(place):
    assert checks.train.judge(loop(place))


def test_the_reference_forgets_what_an_interrupted_step_left():
    def train(*args, **how):
        for parameter in by_hand.lora_layers(args[0])["transformer.h.1.attn.c_attn"].parameters():
            parameter.grad = torch.ones_like(parameter)
        return by_hand.train(*args, **how)

    assert checks.train.judge(train)
