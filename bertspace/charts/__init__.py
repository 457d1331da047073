"""Charts: what a scale needs to know of its numbers, and a sheet to draw on."""

__all__ = ["canvas", "scales"]
