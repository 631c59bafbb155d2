"""Writes an evaluation into a folder: JSON, Markdown, web page, plots."""

from __future__ import annotations

from pathlib import Path

from tlm.analysis.evaluation.markdown import markdown
from tlm.analysis.evaluation.page import page
from tlm.analysis.evaluation.tables import Content
from tlm.report.result import write_json
from workloads.atomic import replacing

JSON, MARKDOWN, PAGE = "evaluate.json", "evaluate.md", "evaluate.html"


def write_report(folder: Path, content: Content) -> list[str]:
    """Write everything and return the files' names, `evaluate.json` first."""
    from tlm.analysis.evaluation.plots import write_plots

    plots = write_plots(folder, content)
    for name, text in ((MARKDOWN, markdown(content, plots)), (PAGE, page(content))):
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_json(content, folder / JSON)
    return [JSON, MARKDOWN, PAGE, *plots]
