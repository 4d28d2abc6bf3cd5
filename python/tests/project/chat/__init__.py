"""An app with a realtime.py that writes down what it handles."""
