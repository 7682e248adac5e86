"""Files that jobs read and write: uploads, results and lists of errors, kept in the data folder until they expire."""
