"""A training step as tile tasks: what each engine does, in which order, on which tensors."""
