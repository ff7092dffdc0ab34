"""What a chapter shows: plots in one style, widgets, exercise checks, quizzes. Live widgets need ipywidgets."""

import logging
import warnings

import pandas

from lorakit.show.diagrams import lora_diagram
from lorakit.show.my_lora import my_lora
from lorakit.show.progress import progress
from lorakit.show.scores import student
from lorakit.show.style import figure, png

__all__ = ["figure", "lora_diagram", "my_lora", "png", "progress", "student"]

# A table of a chapter is read, not browsed: by default pandas cuts a query after 50 characters.
pandas.set_option("display.max_colwidth", 120, "display.width", 140)
# What PEFT tells in red and no reader needs: of bitsandbytes' kernels, and of a name that transformers changed.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
