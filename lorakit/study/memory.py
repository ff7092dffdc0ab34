"""What a training step of a GPT-2 takes in memory, predicted from its config: four parts, and the peak they make.

Gradients and activations are not at their largest together: the backward pass makes the ones while it lets go of the
others. So the peak is less than the sum of the four, and what it holds depends on where in the step it lies.
`predict` goes through the moments at which it can lie. study.memory_measured measures the same on a real step.
"""

from dataclasses import dataclass

from lorakit.study.activations import Decoder, Training, kept_by_block, kept_in_all, kept_in_blocks, total

STATES = {"adamw": 2, "momentum": 1, "sgd": 0}  # numbers that an optimizer keeps for each one that it trains
AFTER_ATTENTION = ("ln_2", "c_fc", "gelu", "mlp.c_proj")


@dataclass(frozen=True)
class Prediction:
    """Bytes. `gradients` and `activations` are those alive at the peak, so that the four parts add up to it.

    moment         where in the step the peak lies
    moments        the bytes beside weights and optimizer at each moment that was looked at
    all_gradients  what the backward pass ends with
    kept           what the forward pass keeps for the backward pass
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    all_gradients: int
    kept: int
    moment: str
    moments: dict[str, int]

    @property
    def peak(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations


def predict(config, step: Training) -> Prediction:
    """The memory of a training step, in bytes. `config`: a GPT2Config, a mapping with its names, or a Decoder.

    Assumes what lab.fit does without mixed precision: gradients are let go of after each step, the loss is taken over
    the answers alone, and nothing is dropped out.
    """
    model = config if isinstance(config, Decoder) else Decoder.of(config)
    adapters = 0 if step.full else 4 * adapter_numbers(model, step)  # bytes: adapters are float32
    gradients = model.parameters * step.item if step.full else adapters
    moments = _moments(model, step, gradients)
    moment = max(reversed(moments), key=lambda name: sum(moments[name]))  # of equal ones the last
    grown, working = moments[moment]
    return Prediction(
        weights=model.parameters * step.item + adapters,
        gradients=grown,
        optimizer=STATES[step.optimizer] * gradients,
        activations=working,
        all_gradients=gradients,
        kept=kept_in_all(model, step),
        moment=moment,
        moments={name: sum(parts) for name, parts in moments.items()},
    )


def adapter_numbers(model: Decoder, step: Training) -> int:
    """Parameters of the adapters: r (in + out) for each adapted projection."""
    d, m, keys = model.width, model.inner, model.key_width or model.width
    sizes = {"c_attn": 4 * d, "mlp": model.mlp_matrices * (d + m), "q": 2 * d, "k": d + keys, "v": d + keys, "o": 2 * d}
    return model.layers * step.r * sum(sizes[target] for target in step.targets)


def _moments(model: Decoder, step: Training, gradients: int) -> dict[str, tuple[int, int]]:
    """Moment → (bytes of finished gradients, bytes of everything else beside weights and optimizer states)."""
    item, d, m = step.item, model.width, model.inner
    kept, logs = kept_in_all(model, step), 4 * step.counted * model.vocabulary
    logits = step.logits * model.vocabulary * item
    table = model.vocabulary * d * item if step.full else 0
    stream, wide = step.tokens * d * item, step.tokens * m * item  # one tensor as wide as the model, as the MLP
    found = {
        "end of forward": (0, kept + logits + logs),
        "backward of the loss": (0, kept + 2 * logs),
        # The gradient of the chosen logits is spread over all of them, twice.
        "backward of the logits": (0, kept - logs + 2 * logits - step.batch * model.vocabulary * item),
        "backward of the output layer": (0, kept - logs + logits + step.logits * d * item + table),
    }
    through_blocks = kept_in_blocks(model, step, model.layers)
    mask = step.tokens * step.length * (item if step.attention == "eager" else step.padded)
    gelu = 0 if step.trains("mlp") else wide  # what is made and not kept
    found["forward of the last MLP"] = (0, through_blocks + 4 * stream + mask + gelu)

    one_block = model.block_parameters * item if step.full else gradients // model.layers
    # The embedding is also the output layer: its gradient from there waits for the one from the other end.
    for index in (model.layers - 1, 0):
        below = kept_in_blocks(model, step, index + 1)
        if step.recompute:  # all of this block at once, again
            below += total(kept_by_block(model, step))
        done = one_block * (model.layers - 1 - index) + (2 * d * item if step.full else 0)
        product = d * m * item if step.full else 0
        both = 0 if step.full or not step.trains("mlp") else wide  # the gradient by way of W0 and that by way of A
        grads = wide + gelu + max(both, wide if model.gelu_parts > 1 else 0)
        found[f"backward of block {index}, MLP"] = (done, below + table + stream + grads + product)
        if step.attention == "eager":
            scores = model.heads * step.tokens * step.length * item
            rows = kept_by_block(model, step, first=index == 0)
            below -= total([row for row in rows if row.operation in AFTER_ATTENTION])
            done += 2 * product + (d * d * item if step.full else 0)
            waiting = 0 if step.trains("o") else stream
            found[f"backward of block {index}, attention"] = (done, below + table + waiting + 2 * scores)
            found[f"forward of block {index}, attention"] = (0, below + 3 * stream + mask + scores)
    if step.full:
        found["end of backward"] = (gradients - table, 3 * table)  # from both ends, and their sum
    largest = max(table, d * m * item) if step.full else 4 * step.r * max(d, m)
    temporary = {"cpu": 2 * largest, "cuda": gradients}[step.device] if step.optimizer == "adamw" else 0
    found["optimizer"] = (gradients, temporary)
    return found
