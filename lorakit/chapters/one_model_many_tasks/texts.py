"""Texts in several styles side by side, each in its adapter's colour; and a widget that writes them, row by row."""

from collections.abc import Sequence
from html import escape
from zlib import crc32

import pandas as pd
from torch import nn

import lorakit as lk
from lorakit.core.errors import LoRAError
from lorakit.lab.evaluate import evaluating, generate_answers
from lorakit.lab.tasks.task import encode_prompts
from lorakit.show.style import BLUE, GREEN, GREY, RED

COLOURS = {"law": BLUE, "medicine": GREEN, "code": RED, "base": GREY}


class Texts(pd.DataFrame):
    """A table of texts that is to be read: in a notebook the lines of a text stay lines."""

    def _repr_html_(self) -> str:
        name = f"texts-{crc32(self.to_csv().encode()):x}"  # its own: a page's style sheets hold for the whole page
        look = self.style.hide(axis="index").set_uuid(name)
        look = look.set_properties(**{"white-space": "pre-wrap", "text-align": "left", "vertical-align": "top"})
        look = look.map(
            lambda name: f"background:{COLOURS.get(name, 'black')};color:white;font-weight:bold", subset=["adapter"]
        )
        look = look.map(lambda text: "font-family:monospace" if "\n" in text else "", subset=["text"])
        return look.map(lambda _: "opacity:0.75", subset=["prompt"]).format(escape="html").to_html()


def texts(names: Sequence[str | None], prompts: Sequence[str], written: Sequence[str]) -> Texts:
    """A row for each text: the adapter (None: the base), the prompt, and what was written."""
    adapters = [name or "base" for name in names]
    return Texts({"adapter": adapters, "prompt": list(prompts), "text": [text.strip() for text in written]})


def write_texts(model: nn.Module, tokenizer, prompts: Sequence[str], names: Sequence[str | None], tokens: int = 48):
    """A list of texts: the likeliest continuation of each prompt, row i through adapter names[i], in one mixed batch.

    Texts come without surrounding blanks, up to the end-of-text token. Raises LoRAError as lk.using does.
    """
    # generate_answers puts the longest prompt first; in that order already, rows stay where their adapters are.
    lengths = [len(ids) for ids in encode_prompts(prompts, tokenizer)]
    rows = sorted(zip(lengths, range(len(prompts)), prompts, names, strict=True), key=lambda row: -row[0])
    _, order, prompts, names = zip(*rows, strict=True)
    with evaluating(model), lk.using(model, names):
        found = generate_answers(model, tokenizer, prompts, tokens, batch_size=len(rows))
    return [text for _, text in sorted(zip(order, found, strict=True))]


class RowPicker:
    """Widget: a batch with one prompt; choose every row's adapter, and all rows are written again in one batch.

    names    the adapters at first, one per row; None: the base
    tokens   that are written at most

    `.rows` are the menus, `.prompt` is the field, `.shown` the last table of texts.
    """

    def __init__(
        self, model: nn.Module, tokenizer, names: Sequence[str | None], prompt="The report says", tokens: int = 48
    ):
        import ipywidgets as w

        self.model, self.tokenizer, self.tokens = model, tokenizer, tokens
        # "" for the base: a menu takes None for nothing chosen, and shows nothing.
        options = [("base", ""), *((name, name) for name in lk.adapter_names(model))]
        self.rows = [
            w.Dropdown(options=options, value=name or "", description=f"row {number}", layout=w.Layout(width="210px"))
            for number, name in enumerate(names)
        ]
        width = w.Layout(width="460px")
        self.prompt = w.Text(value=prompt, description="prompt", continuous_update=False, layout=width)
        self.out = w.HTML()
        self.box = w.VBox([w.HBox(self.rows, layout=w.Layout(flex_flow="row wrap")), self.prompt, self.out])
        for control in (*self.rows, self.prompt):
            control.observe(lambda _: self.write(), "value")
        self.write()

    def write(self) -> None:
        """Write all rows again, as the controls stand."""
        names = [row.value or None for row in self.rows]
        prompts = [self.prompt.value.strip()] * len(names)
        try:
            self.shown = texts(names, prompts, write_texts(self.model, self.tokenizer, prompts, names, self.tokens))
            self.out.value = self.shown._repr_html_()
        except LoRAError as error:  # an empty prompt, or one too long
            self.out.value = f"<i>{escape(str(error))}</i>"

    def _repr_mimebundle_(self, include=None, exclude=None):
        saved = {"text/plain": str(self.shown), "text/html": self.shown._repr_html_()}  # for a page without a kernel
        return self.box._repr_mimebundle_() | saved
