"""Training of the four donor models on a simulated world; serving code imports nothing from here."""
