"""Figures from tidy tables: drawn once, as PNG and SVG for a paper and inline for the report's page."""
