"""Who may do what: accounts, keys, tokens, roles, and what is kept secret."""
