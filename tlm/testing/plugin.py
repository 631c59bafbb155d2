"""pytest plugin of the project."""
