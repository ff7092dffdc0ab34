"""Law, medicine, code: three styles of text, written by the project from templates and word lists of its own."""

from lorakit.lab.styles.write import STYLES, code, law, medicine, style_task, write

__all__ = ["STYLES", "code", "law", "medicine", "style_task", "write"]
