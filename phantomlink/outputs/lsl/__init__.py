"""Lab Streaming Layer: each session as four outlets."""
