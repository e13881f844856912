"""A simulator of Kling's API, made from public facts and independent of providers/ and kling/."""
