"""A GPU as the baseline: a roofline of every kernel of one BPTT training step, with launch overhead."""
