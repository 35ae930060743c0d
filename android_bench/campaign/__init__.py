"""The walk of a campaign and what it needs."""
