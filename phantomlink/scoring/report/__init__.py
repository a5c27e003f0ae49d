"""Scores written down: as JSON, as a CSV table, as one HTML page with plots.

The same scores give the same bytes. A report says what was scored on what (recording,
perturbation, seed, split), so that a number in it can be judged by itself.
"""

from phantomlink.scoring.report.csv_table import csv_report
from phantomlink.scoring.report.document import ScoredRun, json_report, run_of
from phantomlink.scoring.report.page import STYLE_SHA256, html_report

__all__ = ["STYLE_SHA256", "ScoredRun", "csv_report", "html_report", "json_report", "run_of"]
