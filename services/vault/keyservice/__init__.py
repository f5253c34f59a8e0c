"""The default key service: a small process that holds the root keys and nothing else."""
