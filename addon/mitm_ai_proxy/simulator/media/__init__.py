"""Small media files that are real and playable, made with the standard library only; no API is known here."""
