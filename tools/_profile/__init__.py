"""Parts of tools/tick_profile.py."""
