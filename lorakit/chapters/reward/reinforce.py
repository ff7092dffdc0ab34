"""REINFORCE with a group baseline, as chapter 13 writes it: sample, run, compare with the group, push.

Williams 1992; the baseline that is the mean of several samples of one question is RLOO's and GRPO's. A batch has n
episodes: q questions, g samples of each; t tokens, the prompt's in front, padded on the left.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lorakit.lab.tasks.task import Example


class Episodes(NamedTuple):
    """Sampled answers: token ids and mask (n, t), where the answers start, and their texts."""

    ids: Tensor
    mask: Tensor
    start: int
    texts: list[str]


def positions(mask: Tensor) -> Tensor:
    """Each token's place in its own text, (n, t): padding on the left does not count."""
    return (mask.cumsum(1) - 1).clamp(min=0)


@torch.no_grad()
def sample(model: nn.Module, tokenizer, prompts: Sequence[str], generator: torch.Generator, most=32) -> Episodes:
    """An answer to each prompt, drawn token by token at temperature 1, up to the end-of-text token or `most` tokens."""
    batch = tokenizer(list(prompts), return_tensors="pt", padding=True, padding_side="left")
    ids, mask, cache = batch["input_ids"], batch["attention_mask"], None
    start, open_ = ids.shape[1], torch.ones(len(ids), dtype=torch.bool)
    for _ in range(most):
        new = ids if cache is None else ids[:, -1:]
        where = positions(mask)[:, -new.shape[1] :]
        out = model(new, attention_mask=mask, position_ids=where, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        token = torch.multinomial(out.logits[:, -1].softmax(-1), 1, generator=generator)  # (n, 1)
        token[~open_] = tokenizer.eos_token_id
        ids, mask = torch.cat([ids, token], 1), torch.cat([mask, open_[:, None].long()], 1)
        open_ = open_ & (token[:, 0] != tokenizer.eos_token_id)
        if not open_.any():
            break
    return Episodes(ids, mask, start, tokenizer.batch_decode(ids[:, start:], skip_special_tokens=True))


def log_probs(model: nn.Module, episodes: Episodes) -> Tensor:
    """The log-probability of each answer, (n,): summed over its tokens, its end-of-text token included."""
    ids, mask, start, _ = episodes
    logits = model(ids, attention_mask=mask, position_ids=positions(mask)).logits[:, start - 1 : -1]
    tokens = logits.log_softmax(-1).gather(2, ids[:, start:, None])[..., 0]  # (n, answer's t)
    return (tokens * mask[:, start:]).sum(1)


def advantages(rewards: Tensor) -> Tensor:
    """How much better an episode did than the others of its question: (q, g) -> (q, g)."""
    return rewards - rewards.mean(1, keepdim=True)


def reinforce(
    model: nn.Module,
    tokenizer,
    examples: Sequence[Example],
    reward: Callable[[str, Example], float],
    *,
    steps: int,
    lr: float,
    seed: int = 0,
    questions: int = 16,
    samples: int = 8,
) -> list[list[int]]:
    """Train what requires gradients in `model` by `reward(answer's text, example)` alone.

    Returns for each step how many of its `samples` each question had rewarded (for a reward of 0 or 1).
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.0)
    generator, found = torch.Generator().manual_seed(seed), []
    order = torch.randperm(len(examples), generator=generator).tolist()
    model.eval()
    for step in range(steps):
        at = [order[(step * questions + i) % len(order)] for i in range(questions)]
        asked = [examples[i] for i in at for _ in range(samples)]
        episodes = sample(model, tokenizer, [example.prompt for example in asked], generator)
        rewards = torch.tensor([reward(*pair) for pair in zip(episodes.texts, asked, strict=True)])
        rewards = rewards.float().view(questions, samples)
        found.append(rewards.sum(1).int().tolist())
        advantage = advantages(rewards).flatten()
        told = advantage.nonzero()[:, 0]  # where all samples of a question did alike, there is nothing to learn
        if len(told):
            some = Episodes(episodes.ids[told], episodes.mask[told], episodes.start, [])
            loss = -(advantage[told] * log_probs(model, some)).sum() / len(asked)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
    return found
