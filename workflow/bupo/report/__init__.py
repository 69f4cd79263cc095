"""The report of an experiment: statistics, tables, figures and one self-contained HTML page."""
