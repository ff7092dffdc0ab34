"""A box to type one's own question into: the model writes SQL, SQLite runs it on the table."""

import html

from torch import nn

import lorakit as lk
from lorakit.chapters.start_here.tables import run_on_table, table_of
from lorakit.lab.evaluate import generate_answers
from lorakit.lab.tasks.task import Example
from lorakit.show.box import box
from lorakit.show.sql_view import question_of
from lorakit.show.tables import Words


class AskBox:
    """Widget: choose one of the first six different tables among `examples`, type a question, press Enter.

    It asks the active adapter, which can be switched off and on.
    """

    def __init__(self, model: nn.Module, tokenizer, examples: list[Example]):
        import ipywidgets as w

        first: dict[str, Example] = {}  # of each table
        for example in examples:
            first.setdefault(example.info["table"], example)
        self.model, self.tokenizer, self.examples = model, tokenizer, list(first.values())[:6]
        self.adapter = lk.active_adapter(model)
        wide = w.Layout(width="620px")
        names = [(f"{e.info['table']} ({', '.join(e.info['columns'])})", i) for i, e in enumerate(self.examples)]
        self.table = w.Dropdown(options=names, value=0, description="table", layout=wide)
        asked = question_of(self.examples[0])
        self.question = w.Text(value=asked, description="question", layout=wide, continuous_update=False)
        self.lora = w.Checkbox(value=True, description="with the adapter", indent=False)
        self.answer = self.ask(0, asked)
        self.shown = w.HTML(self._html())
        self.box = w.VBox([self.table, self.question, self.lora, self.shown])
        self.table.observe(self._new_table, "value")
        self.question.observe(self._answer, "value")
        self.lora.observe(self._answer, "value")

    def ask(self, table: int, question: str, with_adapter: bool = True) -> Words:
        """The model's SQL for a question about table number `table`, and the rows that it gives there."""
        example = self.examples[table]
        header = example.prompt.split("\n")[0]
        prompt = f"{header}\nquestion: {question.strip()}\nsql:"
        with lk.using(self.model, self.adapter if with_adapter else None):
            (sql,) = generate_answers(self.model, self.tokenizer, [prompt], max_new_tokens=48)
        return run_on_table(sql, example)

    def _new_table(self, change) -> None:
        self.question.value = question_of(self.examples[change["new"]])  # answers too: its value has changed

    def _answer(self, _change) -> None:
        try:
            self.answer = self.ask(self.table.value, self.question.value, self.lora.value)
            self.shown.value = self._html()
        except Exception as error:  # too long a question, a model that was merged or ejected meanwhile
            self.shown.value = box("✗", str(error))

    def _html(self) -> str:
        parts = (table_of(self.examples[self.table.value]), self.answer)
        columns = "".join(f"<div style='max-width:100%;overflow-x:auto'>{part._repr_html_()}</div>" for part in parts)
        return f"<div style='display:flex;gap:50px;flex-wrap:wrap;align-items:flex-start'>{columns}</div>"

    def _repr_mimebundle_(self, include=None, exclude=None):
        asked = self.question.value
        page = f"<div style='font-size:15px'><b>{html.escape(asked)}</b></div>{self._html()}"  # without a kernel
        return self.box._repr_mimebundle_() | {"text/plain": f"{asked}\n{self.answer}", "text/html": page}
