"""One module per homogenised source, each with `load(path, ...)`; named after author and year."""
