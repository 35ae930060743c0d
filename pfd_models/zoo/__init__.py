"""Every network by name: specifications, registry, factory."""
