"""``python -m rankfront``: the command line, where the command ``rankfront`` is not on the path."""

from .search.cli.main import main

if __name__ == "__main__":
    main()
