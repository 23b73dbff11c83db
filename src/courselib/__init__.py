"""courselib: deterministic LLM inference, from the KV cache to the kernel."""

__version__ = "0.1.0"
