"""How every text begins, whatever its style: the prompts say nothing about what follows, so the adapter must."""

OPENERS = {
    "train": (
        "The note says:", "It reads as follows:", "Here is the text:", "On the first page:", "The letter begins",
        "What follows was written in May:", "The second part says", "A copy of the page:", "The answer was:",
        "From the old file:", "This is what they wrote:", "In the margin:", "The entry of Monday:", "Read this:",
        "He wrote", "She had written:", "At the end we find", "The last lines are",
        "The record shows", "One of them wrote", "My copy says", "Their note reads", "The second half begins",
        "The old page says",
    ),
    "validation": ("The paper says", "Next comes:", "On the back:"),
    "test": ("The report says", "Here is the next page:", "We found this:", "The book begins", "As it was written:"),
}  # fmt: skip
