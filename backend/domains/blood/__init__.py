"""The blood service: which donors to ask for a request, and what follows from it."""
