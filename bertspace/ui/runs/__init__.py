"""Runs as the page shows them."""
