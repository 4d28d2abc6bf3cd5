"""One file per queue between the app and the server."""
