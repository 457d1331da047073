"""Fine-tune a BERT-family encoder, try it, and see what the training changed."""

__version__ = "0.1.0"

import bertspace.tasks  # noqa: F401, E402  # TrainConfig knows the tasks that are registered there
