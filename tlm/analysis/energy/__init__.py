"""Energy of one simulated training step, by component and engine."""
