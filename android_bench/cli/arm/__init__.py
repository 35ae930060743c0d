"""`pfd-arm`: what an inference costs on an ARM core, without a phone."""
