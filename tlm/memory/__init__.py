"""The memory system: DRAM, DMA. It knows bytes, addresses and streams, and nothing of what they mean."""
