"""From blocks to statements: design, intervals, when to stop, comparisons. Pure."""
