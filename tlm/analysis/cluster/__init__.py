"""Clusters of chips: data-parallel training, gradients added up over links beside the backward pass."""
