"""A Kling of our own, made from public facts; it imports nothing from providers or videos."""
