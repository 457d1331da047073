"""The requirements.txt of a demo Space or an export."""

from __future__ import annotations

from bertspace.safety.loadable import SENTENCEPIECE

RANGES = {  # as requirements.txt has them
    "torch": ">=2.8,<2.14",
    "transformers": ">=5.23,<6",
    "accelerate": ">=1.15,<2",
    "peft": ">=0.21,<1",
    "safetensors": ">=0.8,<1",
    "scikit-learn": ">=1.6,<2",
    "numpy": ">=2.0,<3",
    "pandas": ">=3.0,<4",
    "pyarrow": ">=21,<27",
    "sentencepiece": ">=0.2,<1",
    "protobuf": ">=5,<8",
}


def requirements(*names: str) -> str:
    """A requirements.txt of these and of what tokenizers of any of our families need."""
    return "".join(f"{name}{RANGES[name]}\n" for name in (*names, *SENTENCEPIECE))
