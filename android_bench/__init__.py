"""How long a model takes on a device, and how sure that is. Never imports torch."""
