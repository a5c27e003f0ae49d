"""Views: WebSockets that watch sessions and do not listen to them."""
