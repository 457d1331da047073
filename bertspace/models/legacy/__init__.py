"""Old checkpoints made into folders that load safely: pytorch_model.bin and the original TensorFlow BERT."""
