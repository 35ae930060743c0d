"""Half precision: `interpreter` runs a graph as an ARM core does, `judge` holds files to that."""
