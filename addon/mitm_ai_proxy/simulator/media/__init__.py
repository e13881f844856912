"""Makes small, playable media files with the standard library only."""
