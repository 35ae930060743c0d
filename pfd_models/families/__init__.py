"""The networks: one family a file, discovered by `pfd_models.zoo.registry`."""
