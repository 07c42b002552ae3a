"""Drawing of placeholders, at the size of the request."""
