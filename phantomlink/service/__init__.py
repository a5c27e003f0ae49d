"""What runs behind every entry: the recording, its sessions, and what they share."""
