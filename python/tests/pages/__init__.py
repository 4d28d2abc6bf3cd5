"""Runs what stands in the fenced blocks of the documentation; test_docs.py says how."""
