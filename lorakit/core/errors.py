"""The one family of errors that lorakit raises on purpose."""


class LoRAError(Exception):
    """Something asked of lorakit cannot be done; the message says what was wrong and what to do.

    The model, and any folder, are exactly as they were before the call that raised it.
    """
