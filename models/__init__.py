"""Generative models, their mathematics and their training: PyTorch only, nothing of the web.

Start with `models.zoo` (the trained checkpoints) and `models.contract` (what a model offers).
"""
