"""The evidence for the statistics: simulated devices, rivals, coverage; for tools only."""
