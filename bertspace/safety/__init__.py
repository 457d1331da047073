"""Whether files from strangers may be loaded: a model's config, tokenizer and weights, and how a process
that loads them is confined.
"""

__all__ = ["config", "confine", "json_values", "layout", "loadable", "room", "tokenizer"]
