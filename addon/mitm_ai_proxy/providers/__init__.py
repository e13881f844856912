"""The providers: what each is, and what all of them share."""
