"""Publications that survive the death of their process: a table in the project's own database."""
