"""`python -m neurointerp` is the command line."""

from neurointerp.cli import main

if __name__ == "__main__":
    main()
