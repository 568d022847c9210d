"""Spreadsheets in and out: CSV and XLSX whose columns are matched by name, and things by the names that people use.

``files`` turns bytes into a table and back, ``columns`` cells into values and back, ``base`` says what a kind of sheet
is, and one module for each kind says what its rows are. Rows are written by the services of the catalog, so a sheet may
do exactly what its user may do.
"""
