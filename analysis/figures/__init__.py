"""Figures of results.

Described once (``spec``), drawn in the page with Bokeh (``page``) and for a paper with Matplotlib (``paper``).
"""
