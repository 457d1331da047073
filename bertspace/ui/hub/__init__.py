"""The Hub tab: pull and look, publish."""
