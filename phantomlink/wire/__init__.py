"""What is sent: packets and their bytes. Pure: nothing here knows an event loop."""
