"""One text, or a pair of texts, and one label of several."""
