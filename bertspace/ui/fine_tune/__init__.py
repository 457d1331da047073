"""The Fine-tune tab: data, model and settings, run."""
