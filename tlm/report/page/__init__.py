"""Results as web pages: one self-contained file each, from a folder that a run or a sweep left behind."""
