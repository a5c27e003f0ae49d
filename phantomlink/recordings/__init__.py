"""What is played: recordings, their bins, trials and behaviour."""
