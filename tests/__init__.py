"""The tests, in the same folders as the packages they test; what they share is in `support`."""
