"""A run, or a scored file of answers, as one HTML file that needs nothing else: no script, no server, no net.

It takes the plain JSON documents that anybody can have (`GET /api/jobs/{id}`, `flywheel evaluate --json`) and
knows no other room. Every text in them is untrusted: the template engine escapes it in the page, matplotlib
in the plots. Every number stands in a `<data value>` with all its digits beside the rounded ones.

`pages` turns documents into pages, `plots` draws, `drawing` makes a figure part of a page.
"""

from __future__ import annotations

from flywheel.reports.pages import evaluation_report, run_report

__all__ = ["evaluation_report", "run_report"]
