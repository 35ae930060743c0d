"""The host half of the native harness: jobs, its lines, what a run told."""
