"""A picture to compress that is always at hand."""

import numpy as np
import torch
from matplotlib import cbook
from torch import Tensor


def portrait(height: int = 240) -> Tensor:
    """Grace Hopper (US Navy, public domain; ships with matplotlib) in grey: (height, about 0.85 × height), 0 to 1."""
    from PIL import Image

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        image = Image.open(file).convert("L")
    width = round(image.width * height / image.height)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS), dtype=np.float32)
    return torch.from_numpy(pixels / 255)  # (height, width)
