"""The site that browsers visit in tests."""
