"""Choosing a model, the same in every tab."""
