"""The routes, by what they are about: records, and handlers that make them."""
