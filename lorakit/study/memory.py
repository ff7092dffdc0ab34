"""What a training step of a GPT-2 takes in memory, predicted from its config: five parts, and the peak they make.

Gradients and activations are not at their largest together: the backward pass makes the ones while it lets go of the
others. So the peak is less than the sum of the parts, and what it holds depends on where in the step it lies.
`predict` goes through the moments at which it can lie. study.memory_measured measures the same on a real step.
"""

from dataclasses import dataclass

from lorakit.study.activations import Training, kept_after_blocks, kept_by_block, kept_in_blocks
from lorakit.study.parameters import Decoder, count_lora_parameters

STATES = {"adamw": 2, "momentum": 1, "sgd": 0}  # numbers that an optimizer keeps for each one that it trains
OPTIMIZER = "optimizer"  # the moment of its step


@dataclass(frozen=True)
class Memory:
    """What lives at the worst moment of a step, in bytes; the first five add up to the peak.

    weights      parameters and buffers
    gradients    those that are finished at that moment
    optimizer    the optimizer's states
    activations  the rest in the forward and the backward pass: what is kept for the way back, and what is worked on
    scratch      the rest in the optimizer's step: what AdamW works with, when no activation is left
    all_gradients, kept   all gradients at the end of the backward pass; all that the forward pass keeps for it
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    scratch: int
    all_gradients: int
    kept: int

    @property
    def peak(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.scratch


@dataclass(frozen=True)
class Prediction(Memory):
    """A step's memory as the formula has it; `moment` says where in the step the peak lies."""

    moment: str


def predict(config, step: Training) -> Prediction:
    """The memory of a training step, in bytes. `config`: a GPT2Config, a mapping with its names, or a Decoder.

    Assumes what lab.fit does without mixed precision: gradients are let go of after each step, the loss is taken over
    the answers alone, and nothing is dropped out.
    """
    model = config if isinstance(config, Decoder) else Decoder.of(config)
    adapters = 0 if step.full else 4 * count_lora_parameters(model, step.targets, step.r)  # bytes: float32
    gradients = model.parameters * step.item if step.full else adapters
    kept = kept_in_blocks(model, step, model.layers) + kept_after_blocks(model, step)
    moments = _in_forward_and_loss(model, step, kept) | _in_blocks(model, step, gradients)
    moments |= _at_the_end(model, step, gradients)
    moment = max(reversed(moments), key=lambda name: sum(moments[name]))  # of equal ones the last
    grown, working = moments[moment]
    return Prediction(
        weights=model.parameters * step.item + adapters,
        gradients=grown,
        optimizer=STATES[step.optimizer] * gradients,
        activations=0 if moment == OPTIMIZER else working,
        scratch=working if moment == OPTIMIZER else 0,
        all_gradients=gradients,
        kept=kept,
        moment=moment,
    )


# Each of these: moment → (bytes of finished gradients, bytes of everything else beside weights and optimizer states).


def _in_forward_and_loss(model: Decoder, step: Training, kept: int) -> dict[str, tuple[int, int]]:
    logs, logits = 4 * step.counted * model.vocabulary, step.logits * model.vocabulary * step.item
    hidden = step.logits * model.width * step.item
    # The gradient of the chosen logits is spread over all of them, twice.
    spread = 2 * logits - step.batch * model.vocabulary * step.item
    return {
        "end of forward": (0, kept + logits + logs),
        "backward of the loss": (0, kept + 2 * logs),
        "backward of the logits": (0, kept - logs + spread),
        "backward of the output layer": (0, kept - logs + logits + hidden + _table(model, step)),
    }


def _in_blocks(model: Decoder, step: Training, gradients: int) -> dict[str, tuple[int, int]]:
    item, d, m, table = step.item, model.width, model.inner, _table(model, step)
    stream, wide = step.tokens * d * item, step.tokens * m * item  # one tensor as wide as the model, as the MLP
    gelu = 0 if step.trains("mlp") else wide  # what is made and not kept
    found = {}
    one_block = model.block_parameters * item if step.full else gradients // model.layers
    product = d * m * item if step.full else 0  # the gradient of one matrix of the MLP
    # The gradient by way of A comes first and lets go of the input: with that by way of W0 it takes no more than one.
    through_mlp = wide + gelu + (wide if model.gelu_parts > 1 else 0)
    for index in (model.layers - 1, 0):
        below = kept_in_blocks(model, step, index + 1)
        if step.recompute:  # all of this block at once, again
            below += sum(kept_by_block(model, step).values())
        done = one_block * (model.layers - 1 - index) + (2 * d * item if step.full else 0)
        found[f"backward of block {index}, MLP"] = (done, below + table + stream + through_mlp + product)
    return found


def _at_the_end(model: Decoder, step: Training, gradients: int) -> dict[str, tuple[int, int]]:
    table = _table(model, step)
    largest = max(table, model.width * model.inner * step.item)
    if not step.full:
        largest = 4 * step.r * max(model.width, model.inner)
    temporary = {"cpu": 2 * largest, "cuda": gradients}[step.device] if step.optimizer == "adamw" else 0
    both_ends = {"end of backward": (gradients - table, 3 * table)} if step.full else {}  # from each, and their sum
    return both_ends | {OPTIMIZER: (gradients, temporary)}


def _table(model: Decoder, step: Training) -> int:
    """Bytes of the embedding's gradient. It is also the output layer: what comes from there waits for the other end."""
    return model.vocabulary * model.width * step.item if step.full else 0
