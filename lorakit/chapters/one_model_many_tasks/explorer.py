"""Choose the adapter of every row of one batch, and read the rows side by side."""

from collections.abc import Sequence

from torch import nn

import lorakit as lk
from lorakit.chapters.one_model_many_tasks.serving import write_texts
from lorakit.chapters.one_model_many_tasks.texts import Texts, texts
from lorakit.core.errors import LoRAError


def write_rows(model: nn.Module, tokenizer, prompt: str, names: Sequence[str | None], tokens: int = 48) -> Texts:
    """One prompt, continued on every row by that row's adapter (None: the base), all in one mixed batch."""
    prompts = [prompt] * len(names)
    return texts(names, prompts, write_texts(model, tokenizer, prompts, names, tokens))


class RowPicker:
    """See `row_picker`. `.set(rows, prompt)` acts as a user would; `.shown` is the last table of texts."""

    def __init__(self, model: nn.Module, tokenizer, names: Sequence[str | None], prompt: str, tokens: int):
        self.model, self.tokenizer, self.tokens = model, tokenizer, tokens
        self.names, self.prompt, self._widgets = list(names), prompt, None
        self.shown = write_rows(model, tokenizer, prompt, names, tokens)

    def set(self, names: Sequence[str | None] | None = None, prompt: str | None = None) -> "RowPicker":
        """Another adapter on every row, or another prompt; writes again. Raises LoRAError for an unknown name."""
        names = self.names if names is None else list(names)
        prompt = self.prompt if prompt is None else prompt
        if len(names) != len(self.names):
            raise LoRAError(f"this batch has {len(self.names)} rows, got {len(names)} names")
        self.shown = write_rows(self.model, self.tokenizer, prompt.strip(), names, self.tokens)
        self.names, self.prompt = names, prompt
        self._show()
        return self

    @property
    def widget(self):
        """The ipywidget; ImportError where ipywidgets is missing."""
        if self._widgets is None:
            import ipywidgets as w

            options = [("base", None), *((name, name) for name in lk.adapter_names(self.model))]
            rows = [
                w.Dropdown(options=options, value=name, description=f"row {i}", layout=w.Layout(width="210px"))
                for i, name in enumerate(self.names)
            ]
            prompt = w.Text(value=self.prompt, description="prompt", continuous_update=False)
            prompt.layout.width = "460px"
            for control in (*rows, prompt):
                control.observe(self._changed, "value")
            out = w.HTML()
            box = w.VBox([w.HBox(rows, layout=w.Layout(flex_flow="row wrap")), prompt, out])
            self._widgets = {"box": box, "rows": rows, "prompt": prompt, "out": out}
            self._show()
        return self._widgets["box"]

    def control(self, row: int | None = None):
        """The menu of a row, or the prompt's field (None); assigning its `.value` acts as a user would."""
        _ = self.widget
        return self._widgets["prompt"] if row is None else self._widgets["rows"][row]

    def _changed(self, _change) -> None:
        names, prompt = [control.value for control in self._widgets["rows"]], self._widgets["prompt"].value
        if (names, prompt) != (self.names, self.prompt):  # `_show` writes to the controls too
            try:
                self.set(names, prompt)
            except LoRAError as error:  # an empty prompt, or one too long
                self._widgets["out"].value = f"<i>{error}</i>"

    def _show(self) -> None:
        if self._widgets:
            self._widgets["out"].value = self.shown._repr_html_()
            for control, value in zip(
                (*self._widgets["rows"], self._widgets["prompt"]), (*self.names, self.prompt), strict=True
            ):
                control.unobserve(self._changed, "value")
                control.value = value
                control.observe(self._changed, "value")

    def __str__(self) -> str:
        return str(self.shown)

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/plain": str(self), "text/html": self.shown._repr_html_()}
        try:
            return self.widget._repr_mimebundle_() | bundle
        except ImportError:
            return bundle


def row_picker(
    model: nn.Module,
    tokenizer,
    names: Sequence[str | None],
    prompt: str = "The report says",
    tokens: int = 48,
) -> RowPicker:
    """Widget: a batch with one prompt; choose every row's adapter, and all rows are written again in one batch.

    names    the adapters at first, one per row; None: the base
    tokens   that are written at most
    """
    return RowPicker(model, tokenizer, names, prompt, tokens)
