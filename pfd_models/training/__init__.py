"""Training by the paper's recipes: recipes, data sets, the loop and what it keeps on disk.

The walk is `pfd_models.training.run.train`; ``python -m pfd_models.train`` is its command line.
"""
