"""What is in a recording, for a person who is about to play it."""
