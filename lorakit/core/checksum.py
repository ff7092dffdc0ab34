"""Notice that a saved adapter has changed: one SHA-256 over its tensors and the note beside them.

It tells damage and careless edits, whatever bit they hit. It is no signature: who edits a file on purpose can compute
it again.
"""

import hashlib

import torch
from torch import Tensor


def checksum(tensors: dict[str, Tensor], note: str) -> str:
    """Over the note, then each tensor's name, dtype, shape and bytes, in the order of the names."""
    total = hashlib.sha256(note.encode("utf-8", "surrogatepass"))
    for key in sorted(tensors):
        value = tensors[key]
        total.update(f"\0{key}\0{value.dtype}\0{tuple(value.shape)}\0".encode("utf-8", "surrogatepass"))
        total.update(memoryview(value.contiguous().reshape(-1).view(torch.uint8).numpy()))
    return total.hexdigest()
