"""A base and tasks so small that a run of a sweep takes a tenth of a second."""

from lorakit.lab import Example, Task, sweep
from lorakit.lab.sweep import Run

LORA = Run(method="lora", r=2, alpha=4, targets=("q", "v"), lr=1e-2, steps=2, batch_size=2, precision="no")


def letters(scorer=lambda answers, examples: {"execution": sum(map(bool, answers)) / len(answers)}) -> Task:
    """Each word twice: any answer at all counts as right; without a scorer judged by likelihood."""
    examples = [Example(f"{word}:", f" {word}{word}") for word in ("ab", "cd", "ef", "gh")]
    return Task("text_to_sql", examples, examples[:2], examples[2:], "execution", scorer, max_new_tokens=4)


def shrink(monkeypatch, make_tiny, tokenizer) -> list[str]:
    """Let sweeps meet a tiny base and `letters` as text_to_sql and python; returns the names of the bases loaded."""
    loaded = []

    def load_base(name, device=None):
        loaded.append(name)
        return make_tiny(seed=1, dropout=0.0), tokenizer

    monkeypatch.setattr(sweep, "load_base", load_base)
    monkeypatch.setitem(sweep.TASKS, "text_to_sql", letters)
    monkeypatch.setitem(sweep.TASKS, "python", lambda: letters(None))
    return loaded
