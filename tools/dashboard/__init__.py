"""Measures and photographs the dashboard in an installed Chromium."""
