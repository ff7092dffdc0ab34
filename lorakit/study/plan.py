"""Plan an adaptation before paying for it: what trains, what a step takes in memory, what the file and the merge cost.

The formulas are those of study.activations and study.memory, with the frozen base also in 8 or 4 bits.
"""

from dataclasses import asdict, dataclass

from lorakit.study.activations import Training
from lorakit.study.memory import Prediction, predict
from lorakit.study.parameters import Decoder, count_lora_parameters

# Bytes for each number of a frozen block matrix. The 4-bit form is NF4 in blocks of 64 with doubly quantized scales:
# half a byte, one byte of scale for 64 numbers, and one float32 for 256 scales (Dettmers et al. 2023, section 3).
# 8 bits: a byte each; the float32 scale of every output row is counted in `base_bytes`.
BASES = {"fp32": 4.0, "bf16": 2.0, "8-bit": 1.0, "4-bit": 0.5 + 1 / 64 + 4 / (64 * 256)}


@dataclass(frozen=True)
class Plan(Prediction):
    """What an adaptation will take: the memory of a training step, and beside it, in bytes unless said otherwise,

    parameters, trainable   numbers, of the base and of the adapter
    file                    the adapter's file, in 2 bytes a number, without its header
    merged                  the merged model, in 16 bits (32 for an fp32 base)
    added_work              multiplications of the unmerged adapters per token, as a share of the block matrices'; once
                            merged it is 0
    """

    parameters: int
    trainable: int
    file: int
    merged: int
    added_work: float

    @property
    def percent(self) -> float:
        return 100 * self.trainable / self.parameters


def plan(model: Decoder, base: str = "bf16", **how) -> Plan:
    """The plan for LoRA on `model` whose frozen weights are held as `base`: "fp32", "bf16", "8-bit" or "4-bit".

    `how` says the rest, as `Training` does: batch, length, r, targets, optimizer, recompute, kept, answers. All but an
    fp32 base computes in bf16; embeddings, norms and biases are never quantized.
    """
    step = Training(dtype=_computes_in(base), **how)
    found = predict(model, step)
    trainable = count_lora_parameters(model, step.targets, step.r)
    unpacked = 2 * model.width * model.inner if base in ("8-bit", "4-bit") else 0  # one matrix at a time
    held = {"weights": base_bytes(model, base) + 4 * trainable, "activations": found.activations + unpacked}
    return Plan(
        **asdict(found) | held,
        parameters=model.parameters,
        trainable=trainable,
        file=2 * trainable,
        merged=model.parameters * step.item,
        added_work=trainable / (model.layers * model.block_matrices),
    )


def plan_full(model: Decoder, base: str = "bf16", **how) -> Prediction:
    """The same step with every weight trained: fp32 or bf16 throughout, since quantized weights cannot be trained."""
    return predict(model, Training(method="full", dtype=_computes_in(base), **how))


def _computes_in(base: str) -> str:
    return "fp32" if base == "fp32" else "bf16"


def base_bytes(model: Decoder, base: str) -> int:
    """Bytes of the frozen weights."""
    packed = model.layers * model.block_matrices
    whole = 4 if base == "fp32" else 2
    outputs = 5 * model.width + model.inner  # of a block's matrices, each with a scale of its own in 8 bits
    scales = 4 * model.layers * outputs if base == "8-bit" else 0
    return int(packed * BASES[base]) + scales + whole * (model.parameters - packed)
