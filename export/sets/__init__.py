"""A published set of files: its manifest, and how it appears whole or not at all."""
