"""Masked language modelling: predict hidden words."""
