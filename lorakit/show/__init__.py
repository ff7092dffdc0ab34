"""What a chapter shows: plots in one style, widgets, exercise checks, quizzes. Live widgets need ipywidgets."""

from lorakit.show.diagrams import lora_diagram
from lorakit.show.exercises import Wrong, check, check_examples, expect, same
from lorakit.show.explorer import Choice, Explorer, Slider, Steps, Toggle
from lorakit.show.images import portrait
from lorakit.show.order import run_first
from lorakit.show.progress import progress
from lorakit.show.quiz import Question, Quiz
from lorakit.show.scores import student
from lorakit.show.sql_view import run_on_table, side_by_side, table_of
from lorakit.show.style import PALETTE, figure, png
from lorakit.show.target_picker import target_picker

__all__ = [
    "PALETTE",
    "Choice",
    "Explorer",
    "Question",
    "Quiz",
    "Slider",
    "Steps",
    "Toggle",
    "Wrong",
    "check",
    "check_examples",
    "expect",
    "figure",
    "lora_diagram",
    "png",
    "portrait",
    "progress",
    "run_first",
    "run_on_table",
    "same",
    "side_by_side",
    "student",
    "table_of",
    "target_picker",
]
