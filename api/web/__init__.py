"""The web page: the same answers as the API's, rendered on the server."""
