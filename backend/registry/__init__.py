"""Model versions: what there is, which of them is live, who decided it and when, and what each process serves."""
