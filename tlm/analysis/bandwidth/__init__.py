"""The bandwidth study: how much DRAM bandwidth and how much buffer the training of a network needs."""
