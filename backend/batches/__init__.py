"""Work on files, row by row: predictions and imports, cut into parts that run as jobs of their own."""
