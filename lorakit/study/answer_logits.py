"""What a model says at the positions of the answers: the part of a batch that a loss is made of."""

import inspect

import torch
from torch import Tensor, nn

IGNORED = -100  # the label of what is not part of an answer; what cross_entropy leaves out by default


def answer_logits(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Logits (count, vocabulary) at the positions before each answer token, in float32 at least; those tokens (count,).

    batch  input_ids, attention_mask and labels, each (rows, longest); labels are -100 where there is no answer
    """
    device = next(model.parameters()).device
    targets = batch["labels"][:, 1:]  # (rows, longest - 1): position t predicts token t + 1
    answer = targets != IGNORED
    options = {}
    accepted = inspect.signature(model.forward).parameters
    if "use_cache" in accepted:
        options["use_cache"] = False
    if "logits_to_keep" in accepted:
        # The output layer only from the first answer token on: prompts are most of a batch, and their logits
        # (rows x longest x vocabulary) would be thrown away.
        first = int(answer.any(dim=0).float().argmax())
        options["logits_to_keep"] = targets.shape[1] + 1 - first
        targets, answer = targets[:, first:], answer[:, first:]
    logits = model(
        input_ids=batch["input_ids"].to(device), attention_mask=batch["attention_mask"].to(device), **options
    ).logits[:, :-1]  # (rows, kept, vocabulary)
    wide = torch.promote_types(logits.dtype, torch.float32)
    return logits[answer.to(device)].to(wide), targets[answer].to(device)
