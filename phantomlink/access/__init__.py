"""Who may come in: tokens, origins, how often and how many. Pure: no event loop, no framework."""
