"""Building the native harness from its sources, and the bundle that a phone gets."""
