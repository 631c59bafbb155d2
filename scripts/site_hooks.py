"""What MkDocs does to each page: mentions such as docs/area.md, which are plain text in the sources, become links."""

from __future__ import annotations

import os
import re
from typing import Any

_CODE = re.compile(r"(^```.*?^```$|`[^`\n]*`|\[[^\]\n]*\]\([^)]*\))", re.MULTILINE | re.DOTALL)
_MENTION = re.compile(r"\bdocs/([\w/]+)\.md\b")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Link every mention outside code and links, relative to the page."""
    folder = os.path.dirname(page.file.src_uri)

    def linked(match: re.Match[str]) -> str:
        return f"[{match[1]}]({os.path.relpath(f'{match[1]}.md', folder or '.')})"

    parts = _CODE.split(markdown)
    return "".join(part if index % 2 else _MENTION.sub(linked, part) for index, part in enumerate(parts))
