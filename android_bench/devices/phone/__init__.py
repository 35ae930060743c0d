"""A phone at the end of a transport."""
