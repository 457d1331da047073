"""Masked words: [MASK] is guessed, and the perplexity of a domain is learned."""
