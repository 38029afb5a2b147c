"""Audit sessions in a database: the store, its rows and records, the tree of runs, lists to share."""
