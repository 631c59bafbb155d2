"""Traces and networks for other tools: PyTorch, analytical models, SCALE-Sim, SATA_Sim."""
