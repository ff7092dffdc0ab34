"""How the bundled base model was made: corpus, tokenizer, pretraining, report (`make nano`)."""
