"""Checks of the hardware that take whole arrays or whole studies: every operand pair, independent judges."""
