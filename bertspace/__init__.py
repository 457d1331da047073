"""Fine-tune a BERT-family encoder, try it, and see what the training changed."""

__version__ = "0.1.0"
