"""lorakit and PEFT on the same GPT-2, ready to be timed side by side: the same adapters, the same jobs.

`make bench` and `make gpu` measure with these. PEFT is imported where it is used.
"""

import copy
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn

import lorakit as lk
from lorakit.study.latency import Job

R, ALPHA = 8, 16
STEPS = 16  # of decoding in a job


def peft_here() -> bool:
    """Whether PEFT can be imported: it is installed, and so is what it needs."""
    try:
        import peft  # noqa: F401
    except ImportError:
        return False
    return True


def our_config() -> lk.LoRAConfig:
    return lk.LoRAConfig(r=R, alpha=ALPHA, targets=("c_attn",))


def peft_config():
    import peft

    return peft.LoraConfig(r=R, lora_alpha=ALPHA, target_modules=["c_attn"], fan_in_fan_out=True)


def with_lorakit(base: nn.Module, copied: Callable = copy.deepcopy) -> nn.Module:
    """A copy of the base (`copied` makes it) with lorakit's adapter in it."""
    return lk.inject(copied(base), our_config())


def with_peft(base: nn.Module, copied: Callable = copy.deepcopy) -> nn.Module:
    """A PeftModel around a copy of the base, with PEFT's adapter in it."""
    import peft

    return peft.get_peft_model(copied(base), peft_config())


@torch.no_grad()
def agree(contestants: dict[str, nn.Module], tokens: torch.Tensor) -> float:
    """Give all of them the same A and B; returns how far their logits are apart, and fails where that is much."""
    torch.manual_seed(1)
    ours = contestants["lorakit"]
    for number, block in enumerate(ours.transformer.h):
        adapter = block.attn.c_attn.adapters["default"]
        adapter.lora_B.normal_(std=0.02)
        peft_layer = contestants["peft"].base_model.model.transformer.h[number].attn.c_attn
        peft_layer.lora_A["default"].weight.copy_(adapter.lora_A)
        peft_layer.lora_B["default"].weight.copy_(adapter.lora_B)
        if "loralib" in contestants:
            layer = contestants["loralib"].transformer.h[number].attn.c_attn
            layer.lora_A.copy_(adapter.lora_A)
            layer.lora_B.copy_(adapter.lora_B)
    found = [model.eval()(tokens).logits for model in contestants.values()]
    apart = max(float((each - found[0]).abs().max()) for each in found[1:])
    assert apart < 1e-3, f"the contestants compute different things: {apart}"
    return apart


def training_step(
    model: nn.Module,
    tokens: torch.Tensor,
    *,
    call: Callable | None = None,
    around: Callable = nullcontext,
    optimizer: torch.optim.Optimizer | None = None,
) -> Callable[[], None]:
    """Forward and backward, and a step of the optimizer where there is one; tokens (rows, length).

    The gradient is carried on to the input: the frozen base has nothing else to carry it to.

    call    what is called in the model's place, such as the compiled model
    around  makes the context of the forward pass, such as autocast
    """

    def step():
        embedded = model.get_input_embeddings()(tokens).requires_grad_()
        with around():
            loss = (model if call is None else call)(inputs_embeds=embedded, labels=tokens).loss
        loss.backward()
        if optimizer is not None:
            optimizer.step()
        for parameter in model.parameters():
            parameter.grad = None

    return step


def mixed_jobs(base, ours, theirs, batch: torch.Tensor, per_row: list[str], cached: int) -> dict[str, Job]:
    """One batch over several adapters, PEFT's way and ours, beside one adapter for all rows and the bare base.

    With `cached` tokens in the cache of keys and values a job is STEPS steps of decoding. The mixed batch is entered
    once a job, as generation enters it; PEFT takes the rows' names with every call. `theirs` may be None.
    """

    def job(model, around=None, **more):
        with torch.no_grad():
            before = torch.randint(0, 300, (len(batch), cached), device=batch.device)
            cache = model(input_ids=before, use_cache=True, **more).past_key_values if cached else None

        def run():
            with torch.no_grad(), around() if around else nullcontext():
                for _ in range(STEPS if cached else 1):
                    model(input_ids=batch, past_key_values=cache, use_cache=bool(cached), logits_to_keep=1, **more)

        return Job(run, after=lambda: cache.crop(-STEPS), units=STEPS) if cached else Job(run)

    jobs = {
        "base": job(base),
        "one adapter": job(ours),
        "mixed": job(ours, lambda: lk.using(ours, per_row)),
    }
    return jobs | ({} if theirs is None else {"peft mixed": job(theirs, adapter_names=per_row)})
