"""Data as integers: images with labels, held as tensors."""
