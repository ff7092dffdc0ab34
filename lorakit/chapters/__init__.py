"""A room for every chapter, named as its notebook: what one chapter alone uses; and the runner of `make results`."""
