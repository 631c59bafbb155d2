"""What silicon and DRAM cost: one table of constants with sources, ranges that carry them through, scaling of nodes."""
