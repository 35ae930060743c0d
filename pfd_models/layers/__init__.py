"""Building blocks shared by the model families: one idea per file, one implementation of each."""
