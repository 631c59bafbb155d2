"""The same network trained in several number formats: what each does to loss, accuracy and small values."""
