"""Benchmarks: each prints what it measured and saves it in one schema, with the machine and versions it ran on."""
