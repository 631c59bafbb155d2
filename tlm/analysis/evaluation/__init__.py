"""The evaluation: training steps of whole networks against a GPU, the ablations, and the search for a design point."""
