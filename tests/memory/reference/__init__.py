"""The generator of the reference's traces as it was given, to hold the project's own against."""
