"""`phantomlink serve`: port, request heads, signals and drain."""
