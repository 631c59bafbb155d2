"""Transistors and area of a configuration, component by component."""
