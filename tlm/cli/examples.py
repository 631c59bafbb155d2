"""Examples at the end of a command's help; a test parses each of them."""

from __future__ import annotations


def examples(*lines: str) -> str:
    """Return the epilog of a command: `lines` are what a user types, with a comment where it helps."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
