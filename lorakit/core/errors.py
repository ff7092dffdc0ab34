"""The one family of errors that lorakit raises on purpose."""


class LoRAError(Exception):
    """Something asked of lorakit cannot be done; the message says what was wrong and what to do.

    The model, and any folder, are exactly as they were before the call that raised it.
    """

    def __init__(self, message: str = ""):
        # Messages quote files that nobody vouches for: no megabytes, and no control characters for a terminal to obey.
        half = 1000  # what is wrong stands at the start, and what to do at the end
        message = message if len(message) <= 2 * half else f"{message[: half - 2]} … {message[1 - half :]}"
        super().__init__("".join(c if c.isprintable() or c == "\n" else "?" for c in message))
