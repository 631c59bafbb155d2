"""What models that know sparsity as one number get wrong against real traces."""
